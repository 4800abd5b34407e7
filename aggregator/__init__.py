"""Turns probabilities into moods: event-time windows over all cameras, people, shares, changes, checkpoints.

Only `service` uses servers and a clock. The package must not use pixels or other stages.
"""
