"""Evaluates detectors on labelled images: recall, precision, their curve, and processor time.

No module that runs in service imports this package.
"""
