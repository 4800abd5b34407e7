"""Plain text for simple players: one word and a number of seconds."""

from webhooks.adapters.body import Body, Reading


def render(reading: Reading) -> Body:
    r"""Return the body, one line.

    Example:
        `happy 5\n`
    """
    return Body(f"{reading.value} {reading.ttl_s}\n".encode(), "text/plain; charset=utf-8")
