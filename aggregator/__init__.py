"""Turns probabilities into moods: event-time windows over all cameras, people, shares, changes, the store's checkpoint.

Only `service` speaks to servers and reads a clock; it must not look at pixels nor at other stages.
"""
