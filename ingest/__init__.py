"""Cameras and recorded footage become `Frame` messages: sampling, pacing, drop policy and camera health are its own.

It must never look into a picture for faces, keep one anywhere but on the bus, or let a camera's credentials out.
"""
