"""Log lines are JSON objects without credentials, also in tracebacks."""

import io
import json
import logging

import pytest

from crowdmood.core.logs import configure, redact, redact_text
from crowdmood.core.settings import LogSettings


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("match.mp4", "match.mp4"),
        ("webcam:0", "webcam:0"),
        ("rtsp://camera:554", "rtsp://camera:554"),
        ("rtsp://camera:554/", "rtsp://camera:554/"),
        ("rtsp://camera:554/1", "rtsp://camera:554/…"),
        ("rtsp://me:hunter2@camera:554/1", "rtsp://camera:554/…"),
        ("rtsp://me:hunter2@[2001:db8::1]:554/1", "rtsp://[2001:db8::1]:554/…"),
        ("rtsp://me:hunt@er2@camera/1", "rtsp://camera/…"),  # an unescaped @ in the password
        ("rtsp://me:hunt/er2@camera/1", "rtsp://…"),  # the host may also be `me`
        ("rtsp://me:hunt?er2@camera/1", "rtsp://…"),
        ("rtsp://me:hunter2@[camera/1", "rtsp://…"),
        ("rtsp://me:hunter2", "rtsp://…"),
        ("rtsp:me:hunter2@camera/1", "rtsp:…"),
        ("rtsp://camera/user=admin_password=hunter2_channel=1", "rtsp://camera/…"),
        ("rtsp://camera/user=admin&password=hunt@er2", "rtsp://…"),
        ("rtsp://camera:554/hunter2/live", "rtsp://camera:554/…"),
        ("srt://camera:9000?passphrase=hunter2", "srt://camera:9000/…"),
        ("http://camera/video?user=me&password=hunter2", "http://camera/…"),
        ("http://camera/#hunter2", "http://camera/…"),
        ("ftp://me:hunter2@host/match.mp4", "ftp://host/…"),
        ("match@home.mp4", "match@home.mp4"),
        ("/footage/match.mp4", "/footage/match.mp4"),
        ("file:///footage/match.mp4", "file:///footage/match.mp4"),
        ("redis://:hunter2@host:6379/0", "redis://host:6379/…"),
        ("unix://me:hunter2@/run/bus.sock?db=0", "unix:///run/bus.sock"),
    ],
)
def test_redacts_all_but_scheme_host_and_port_of_an_address(address: str, shown: str) -> None:
    assert redact(address) == shown
    assert redact_text(f"cannot open '{address}': refused") == f"cannot open '{shown}': refused"
    assert redact(shown) == shown


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
    assert [line["text"] for line in lines] == ["opened rtsp://camera/…", "failed"]
    assert lines[0]["camera"] == "north"
    assert "Traceback" in lines[1]["traceback"]
    assert "hunter2" not in out.getvalue()


def test_writes_nothing_below_the_level() -> None:
    out = io.StringIO()
    configure(LogSettings(level="WARNING"), out)
    logging.getLogger("crowdmood.test").info("nothing to see")
    assert out.getvalue() == ""
