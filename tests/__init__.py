"""The tests: `unit` without I/O, `integration` against real servers and files, `e2e` through every process.

What stands here itself is shared by tests of several folders. Nothing is installed of it, and no test may need another
one, the order of tests, or anything that a developer happened to set.
"""
