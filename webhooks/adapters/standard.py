"""The body of the Standard Webhooks specification, with all figures of the event."""

from webhooks.adapters.body import Body
from webhooks.events import Event


def render(event: Event) -> Body:
    """Return the body with the event's type, time and data.

    Example:
        `{"type":"camera.down","timestamp":"2026-05-01T15:00:00.000Z","data":{"camera":"north","state":"down",
        "since":"2026-05-01T14:59:58.000Z","detail":"no frame for 10 s"}}`
    """
    return Body.of_json(event.payload())
