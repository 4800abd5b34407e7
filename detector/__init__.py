"""Finds the faces in a frame and crops them for the network.

This package owns decoding, detection and cropping. It does not classify expressions.
"""
