"""Webhooks that follow the Standard Webhooks specification.

The API writes endpoints to the state store. The process `crowdmood dispatch` watches moods, changes and cameras and
makes events from them. It writes a signed delivery for each endpoint that subscribes to an event, and sends it. The
package must not evaluate moods, and it keeps only the status code of a receiver's response.
"""
