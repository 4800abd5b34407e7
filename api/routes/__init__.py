"""One router a resource: it reads the request and says which answer fits.

What an answer tells is decided outside, by what knows no HTTP; a route must not judge, keep or change a mood.
"""
