"""Xibo players: schedule criteria, posted to the player's own web server at `http://PLAYER:9696/criteria`.

See https://xibosignage.com/docs/developer/player-control/schedule-criteria. A player drops a value after its time to
live, so subscribe to `mood.updated` as well, with a shorter interval.
"""

from webhooks.adapters.body import Body, Reading


def render(reading: Reading, metric: str) -> Body:
    """Return the body with one criterion.

    Args:
        reading: The criterion's value and time to live.
        metric: Name of the criterion in scheduled events.

    Example:
        `[{"metric":"crowd_mood","value":"happy","ttl":5}]`
    """
    return Body.of_json([{"metric": metric, "value": reading.value, "ttl": reading.ttl_s}])
