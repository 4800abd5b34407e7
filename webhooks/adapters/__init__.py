"""Bodies for what receives events: each adapter a small pure function from an event to what is posted.

`standard` is the body of the Standard Webhooks specification. The others are for signage players, which know one enum
and a time to live: they tell of moods only. An adapter must not decide whether, when or where something is sent.
"""

from dataclasses import dataclass
from enum import StrEnum

from webhooks.adapters import broadsign, standard, template, text, xibo
from webhooks.adapters.body import Body, Reading
from webhooks.events import Event


class AdapterName(StrEnum):
    """What bodies can look like."""

    STANDARD = "standard"
    XIBO = "xibo"
    BROADSIGN = "broadsign"
    TEXT = "text"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Adapter:
    """What an endpoint's bodies look like, as its owner chose.

    Attributes:
        name: Which adapter.
        metric: Xibo: the criterion's name; Broadsign: what conditions' names begin with.
        fallback: What stands for no mood where there is one enum.
        template: Template: its text.
        content_type: Template: media type of what it makes.
    """

    name: AdapterName
    metric: str
    fallback: str
    template: str
    content_type: str

    def render(self, event: Event, now_ms: int) -> Body:
        """The body of an event.

        Args:
            event: What happened.
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
