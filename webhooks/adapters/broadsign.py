"""Broadsign players: named conditions, one enabled and the others disabled.

A Broadsign player takes conditions from its `remote_action` tool, not over HTTP. So the body goes to a receiver beside
the player, which calls `remote_action condition -e ENABLED -n NAME` for each condition, in order
(https://docs.broadsign.com/broadsign-control/latest/conditions-action.html). The receiver disables the last condition
after `ttl` seconds without a new body.
"""

from crowdmood.domain.labels import LABELS
from webhooks.adapters.body import Body, Reading


def render(reading: Reading, metric: str, fallback: str) -> Body:
    """Return the body with every condition, disabled ones first.

    Args:
        reading: The value to enable, and its time to live. Of an override's creative, the fallback is enabled.
        metric: Prefix of the conditions' names.
        fallback: The value while there is no mood.

    Example:
        `{"conditions":[{"name":"crowd_mood_angry","enabled":0},…,{"name":"crowd_mood_happy","enabled":1}],"ttl":5}`
    """
    known = (*LABELS, "mixed", fallback)
    enabled_value = reading.value if reading.value in known else fallback  # no later body would disable a creative's
    states = [(value, 0) for value in known if value != enabled_value] + [(enabled_value, 1)]
    conditions = [{"name": f"{metric}_{value}", "enabled": enabled} for value, enabled in states]
    return Body.of_json({"conditions": conditions, "ttl": reading.ttl_s})
