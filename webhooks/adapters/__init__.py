"""Adapters: small pure functions from an event to the body that is posted.

`standard` makes the body of the Standard Webhooks specification. The others are for signage players, which take one
value and a time to live, and are for moods only. An adapter must not decide whether, when or where to send.
"""

from dataclasses import dataclass
from enum import StrEnum

from webhooks.adapters import broadsign, standard, template, text, xibo
from webhooks.adapters.body import Body, Reading
from webhooks.events import Event


class AdapterName(StrEnum):
    """The formats of bodies."""

    STANDARD = "standard"
    XIBO = "xibo"
    BROADSIGN = "broadsign"
    TEXT = "text"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Adapter:
    """The format of an endpoint's bodies.

    Attributes:
        name: The adapter.
        metric: Xibo: the criterion's name; Broadsign: prefix of the conditions' names.
        fallback: The value sent while there is no mood, for adapters that send one value.
        template: Template: its text.
        content_type: Template: media type of the result.
    """

    name: AdapterName
    metric: str
    fallback: str
    template: str
    content_type: str

    def render(self, event: Event, now_ms: int) -> Body:
        """Return the body of an event.

        Args:
            event: The event.
            now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.

        Raises:
            ValueError: The owner's template does not fit this event.
        """
        reading = Reading.of(event, now_ms, self.fallback)
        match self.name:
            case AdapterName.STANDARD:
                return standard.render(event)
            case AdapterName.XIBO:
                return xibo.render(reading, self.metric)
            case AdapterName.BROADSIGN:
                return broadsign.render(reading, self.metric, self.fallback)
            case AdapterName.TEXT:
                return text.render(reading)
            case AdapterName.TEMPLATE:
                return template.render(event, reading, self.template, self.content_type)
