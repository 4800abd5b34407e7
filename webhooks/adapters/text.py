"""The least that a player can be told: one word and a number of seconds, as plain text."""

from webhooks.adapters.body import Body, Reading


def render(reading: Reading) -> Body:
    r"""One line.

    Example:
        `happy 5\n`
    """
    return Body(f"{reading.value} {reading.ttl_s}\n".encode(), "text/plain; charset=utf-8")
