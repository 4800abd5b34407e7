"""Judges detectors on labelled pictures: recall, precision, the curve between them, and what they cost."""
