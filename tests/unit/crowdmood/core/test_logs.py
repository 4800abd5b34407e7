"""Log lines are JSON objects without credentials, also in tracebacks."""

import io
import json
import logging

import pytest

from crowdmood.core.logs import configure, redact
from crowdmood.core.settings import LogSettings


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("match.mp4", "match.mp4"),
        ("webcam:0", "webcam:0"),
        ("rtsp://camera:554/1", "rtsp://camera:554/1"),
        ("rtsp://me:hunter2@camera:554/1", "rtsp://camera:554/1"),
        ("rtsp://me:hunt@er2@camera/1", "rtsp://camera/1"),  # an unescaped @ in the password
        ("rtsp://me:hunt/er2@camera/1", "rtsp://camera/1"),
        ("rtsp://me:hunt?er2@camera/1", "rtsp://camera/1"),
        ("rtsp://me:hunter2@[camera/1", "rtsp://[camera/1"),
        ("rtsp:me:hunter2@camera/1", "rtsp:camera/1"),
        ("match@home.mp4", "match@home.mp4"),
        ("http://camera/video?user=me&password=hunter2", "http://camera/video"),
        ("redis://:hunter2@host:6379/0", "redis://host:6379/0"),
    ],
)
def test_redacts_user_password_and_query_of_an_address(address: str, shown: str) -> None:
    assert redact(address) == shown


def test_writes_json_lines_without_credentials() -> None:
    out = io.StringIO()
    configure(LogSettings(level="INFO"), out)
    log = logging.getLogger("crowdmood.test")
    log.info("opened %s", "rtsp://me:hunter2@camera/1", extra={"fields": {"camera": "north"}})
    try:
        raise ValueError("cannot open rtsp://me:hunter2/@camera/1")
    except ValueError:
        log.exception("failed")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["text"] for line in lines] == ["opened rtsp://camera/1", "failed"]
    assert lines[0]["camera"] == "north"
    assert "Traceback" in lines[1]["traceback"]
    assert "hunter2" not in out.getvalue()


def test_writes_nothing_below_the_level() -> None:
    out = io.StringIO()
    configure(LogSettings(level="WARNING"), out)
    logging.getLogger("crowdmood.test").info("nothing to see")
    assert out.getvalue() == ""
