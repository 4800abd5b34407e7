"""Turns probabilities into moods: event-time windows over all cameras, people, shares, the store's checkpoint.

`windows` and `shares` are pure and know no Redis and no clock; it must not look at pixels nor at other stages.
"""
