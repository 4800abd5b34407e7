"""Turns probabilities into moods: event-time windows over all cameras, people, shares, changes, the store's checkpoint.

Everything but `service` is pure and knows no Redis and no clock; it must not look at pixels nor at other stages.
"""
