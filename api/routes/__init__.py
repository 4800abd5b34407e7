"""One router per resource: it reads the request and chooses the response.

Modules without HTTP produce the content of responses; a route must not estimate, store or change a mood.
"""
