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

_ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]+):(?P<slashes>//)?(?P<rest>.*)", re.DOTALL)
_IN_TEXT = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]+:(?://\S+|\S*@\S*)")
_AFTER_IN_TEXT = re.compile(r"[\"'`),.;:>}]*$")
_HOST = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+)(?::[0-9]+)?")
_LOCAL = ("file", "unix", "webcam")
"""Schemes of addresses on this machine."""


def redact(address: str) -> str:
    """Return the scheme, host and port of an address of a camera or a server; `…` stands for the rest.

    Cameras expect passwords as user info, in the path or in the query. A password may contain an unescaped `/`, `?` or
    `@`: where it is not clear which part is the host, it is removed as well. The path of a file, of a local socket and
    of a webcam stays.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        return address
    scheme, slashes, rest = parts["scheme"], parts["slashes"] or "", parts["rest"]
    if scheme.lower() in _LOCAL:
        return f"{scheme}:{slashes}" + re.split(r"[?#]", rest.rpartition("@")[2])[0]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = rest[len(authority) :]
    host = authority.rpartition("@")[2]
    if not slashes or "@" in path or not _HOST.fullmatch(host):
        return f"{scheme}:{slashes}…"
    return f"{scheme}://{host}" + ("/…" if path.strip("/") else path)


def redact_text(text: str) -> str:
    """Return a text in which every address is redacted as by `redact`."""

    def shown(found: re.Match[str]) -> str:
        after = _AFTER_IN_TEXT.search(found.group())
        assert after is not None
        return redact(found.group()[: after.start()]) + after.group()

    return _IN_TEXT.sub(shown, text)


class CredentialFilter(logging.Filter):
    """Filter that redacts the addresses in every record, including those that libraries log."""

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
