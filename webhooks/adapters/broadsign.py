"""Broadsign players: named conditions, one on and the others off.

A Broadsign player takes conditions from its `remote_action` tool, not over HTTP, so this goes to a receiver beside it
that calls `remote_action condition -e ENABLED -n NAME` for each, in order
(https://docs.broadsign.com/broadsign-control/latest/conditions-action.html). `ttl` tells the receiver when to turn the
last one off again if nothing new came.
"""

from crowdmood.domain.labels import LABELS
from webhooks.adapters.body import Body, Reading


def render(reading: Reading, metric: str, fallback: str) -> Body:
    """Every condition of ours, those that end first.

    Args:
        reading: What to tell.
        metric: What the conditions' names begin with.
        fallback: What stands for no mood.

    Example:
        `{"conditions":[{"name":"crowd_mood_angry","enabled":0},…,{"name":"crowd_mood_happy","enabled":1}],"ttl":5}`
    """
    others = [value for value in (*LABELS, "mixed", fallback) if value != reading.value]
    states = [(value, 0) for value in others] + [(reading.value, 1)]
    conditions = [{"name": f"{metric}_{value}", "enabled": enabled} for value, enabled in states]
    return Body.of_json({"conditions": conditions, "ttl": reading.ttl_s})
