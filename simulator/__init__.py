"""A stadium crowd with known truth, rendered as footage: no one in it exists.

Owns seats, people, the script of the match, cameras and the truth file; it knows nothing of the pipeline that will
look at the footage, and no stage knows it.
"""
