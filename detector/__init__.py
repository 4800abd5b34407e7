"""Finds the faces in a frame and cuts them out as the network wants them.

Owns decoding, detection and cropping; it must not judge expressions nor know where frames come from or faces go.
"""
