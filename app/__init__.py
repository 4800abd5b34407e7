"""The application around the stages: command line, supervisor, embedded servers, replay and reports.

It stands above every other package; none of them imports it.
"""
