"""Logging under `crowdmood.*`: lines for people on a terminal, JSON elsewhere; never a camera's credentials."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

from rich.console import Console
from rich.logging import RichHandler

from crowdmood.core.settings import LogSettings

_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+:(?://)?")
_QUERY = re.compile(r"(://[^\s?]*)\?[^\s'\"]+")
_USERINFO = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]+:(?://)?)\S*@")


def redact(address: str) -> str:
    """An address without user, password and query: what may be shown of a camera or a server.

    Query strings go too, since many cameras take their password there. A password may hold unescaped `/`, `?` or
    `@`: rather too much is cut than too little.
    """
    scheme = _SCHEME.match(address)
    if scheme is None:
        return address
    rest = address[scheme.end() :].rpartition("@")[2]
    return scheme.group() + re.split(r"[?#]", rest)[0]


def redact_text(text: str) -> str:
    """Text with user, password and query cut out of any address in it."""
    return _QUERY.sub(r"\1", _USERINFO.sub(r"\g<scheme>", text))


class CredentialFilter(logging.Filter):
    """The last line of defence: cuts `user:password@` out of whatever text a library logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record's text; never drops one."""
        text = record.getMessage()
        clean = redact_text(text)
        if clean != text:
            record.msg, record.args = clean, ()
        if record.exc_info:
            # Formatters take a traceback's text from here when it is set.
            record.exc_text = redact_text(logging.Formatter().formatException(record.exc_info))
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, process, text and what was given as `extra={"fields": …}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "text": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line, default=str)


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Set up logging for this process.

    Args:
        settings: Level and format.
        stream: Where lines go; default standard error.
    """
    out = stream or sys.stderr
    human = settings.format == "human" or (settings.format == "auto" and out.isatty())
    handler: logging.Handler
    if human:
        handler = RichHandler(console=Console(file=out), show_path=False, rich_tracebacks=False)
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s", datefmt="%H:%M:%S"))
    else:
        handler = logging.StreamHandler(out)
        handler.setFormatter(JsonFormatter())
    handler.addFilter(CredentialFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("crowdmood").setLevel(settings.level)
