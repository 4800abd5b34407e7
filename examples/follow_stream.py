"""Print moods and changes as they are published: `python follow_stream.py http://127.0.0.1:8000 [KEY]`.

It reads server-sent events by hand, to show what a client in any language does: it keeps the id of the last message and
sends it when it reconnects. What was published in the meantime then follows, each message once.
"""

import json
import sys
import time
from collections.abc import Iterator

import httpx

PAUSE_S = 1.0
"""Between two attempts to connect."""
SILENCE_S = 60.0
"""A stream without even a heartbeat for so long is dead: heartbeats come every 15 s, unless set otherwise."""


def events(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Yield the fields of each event; a heartbeat has an id alone."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            yield fields
            fields = {}


def main(url: str, key: str | None = None) -> None:
    """Follow the stream until interrupted; exit when the API refuses the request."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, headers=headers, timeout=httpx.Timeout(5.0, read=SILENCE_S)) as http:
        last: dict[str, str] = {}
        while True:
            try:
                with http.stream("GET", "/mood/stream", headers=last) as reply:
                    if 400 <= reply.status_code < 500 and reply.status_code != 429:
                        sys.exit(f"HTTP {reply.status_code}: {reply.read().decode()}")
                    reply.raise_for_status()
                    for event in events(reply.iter_lines()):
                        last = {"Last-Event-ID": event["id"]}
                        if event.get("event") == "mood":
                            mood = json.loads(event["data"])
                            print(f"{mood['as_of']} {mood['status']} {mood['dominant'] or '-'}", flush=True)
                        elif event.get("event") == "change":
                            change = json.loads(event["data"])
                            print(f"{change['as_of']} {change['from']} -> {change['to']}", flush=True)
                        elif event.get("event") == "gap":
                            print("some messages are gone", flush=True)
            except httpx.HTTPError as error:
                print(f"reconnecting: {error}", file=sys.stderr, flush=True)
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
