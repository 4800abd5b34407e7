"""The application around the stages: command line, supervisor, embedded servers, replay and reports.

It is the top layer: it may import every other package, and no other package imports it.
"""
