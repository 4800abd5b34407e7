"""Webhooks by the Standard Webhooks specification: what happens becomes events, events become signed deliveries.

The API writes endpoints into the state store; the process `crowdmood dispatch` watches moods, changes and cameras,
writes a delivery for each endpoint that wants an event, and sends them. It must not judge a mood, and it keeps nothing
of what a receiver answers but the status code.
"""
