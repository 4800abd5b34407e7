"""Logging under `crowdmood.*`: readable lines on a terminal, JSON elsewhere, without credentials of cameras."""

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
    """Return an address of a camera or a server without user, password and query, so that it can be shown.

    The query is removed because many cameras expect the password there. A password may contain an unescaped `/`, `?`
    or `@`; in case of doubt, more is removed rather than less.
    """
    scheme = _SCHEME.match(address)
    if scheme is None:
        return address
    rest = address[scheme.end() :].rpartition("@")[2]
    return scheme.group() + re.split(r"[?#]", rest)[0]


def redact_text(text: str) -> str:
    """Return a text with user, password and query removed from every address in it."""
    return _QUERY.sub(r"\1", _USERINFO.sub(r"\g<scheme>", text))


class CredentialFilter(logging.Filter):
    """Filter that removes credentials from every record, including those that libraries log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record's message and traceback. Return True: no record is dropped."""
        text = record.getMessage()
        clean = redact_text(text)
        if clean != text:
            record.msg, record.args = clean, ()
        if record.exc_info:
            # Formatters use this text, when it is set, instead of formatting the traceback.
            record.exc_text = redact_text(logging.Formatter().formatException(record.exc_info))
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, process, message, and the fields of `extra={"fields": …}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
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
    """Configure logging for this process.

    Args:
        settings: Level and format.
        stream: Output; standard error by default.
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
