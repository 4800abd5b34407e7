"""Publishes the frames of cameras and recorded footage as `Frame` messages: sampling, pacing, dropping, camera state.

This package does not look for faces. It keeps images nowhere but on the bus, and shows a camera's credentials nowhere.
"""
