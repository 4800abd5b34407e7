"""Xibo players: schedule criteria, posted to the player's own web server at `http://PLAYER:9696/criteria`.

See https://xibosignage.com/docs/developer/player-control/schedule-criteria. A player forgets a value after its time to
live, so subscribe to `mood.updated` as well, at an interval below it.
"""

from webhooks.adapters.body import Body, Reading


def render(reading: Reading, metric: str) -> Body:
    """One criterion.

    Args:
        reading: What to tell.
        metric: Name of the criterion, as scheduled events have it.

    Example:
        `[{"metric":"crowd_mood","value":"happy","ttl":5}]`
    """
    return Body.of_json([{"metric": metric, "value": reading.value, "ttl": reading.ttl_s}])
