"""Renders footage of a stadium crowd that does not exist, with the true expression of every face.

It owns seats, people, the script of the match, cameras and the truth file. It does not use the pipeline, and no stage
uses it.
"""
