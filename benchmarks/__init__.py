"""Measurements behind the figures that the project quotes. Everything that is compared is measured in one run.

Nothing imports it, and it is not installed: it must measure what runs in service, never a copy of it.
"""
