"""Judges detectors on labelled pictures: recall, precision, the curve between them, and what they cost.

It looks at detectors from outside: nothing that finds faces in service may need it.
"""
