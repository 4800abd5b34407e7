"""A real Alertmanager sends an alert of our rules to the webhook that is configured."""

import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.ports import free_port
from tests.waiting import eventually

ROOT = Path(__file__).parents[3]
CONFIGURATION = ROOT / "deploy/prometheus/alertmanager.yml"
(COMMAND,) = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["alertmanager"]["command"]


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the address of a receiver, and what it has received."""
    received: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", received
        server.shutdown()


def test_an_alert_reaches_the_webhook_and_hides_its_consequences(programs: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    words = [
        programs["prometheus-alertmanager"],
        f"--config.file={tmp_path / 'alertmanager.yml'}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with receiver() as (url, received):
        # As the container's command does.
        script = COMMAND.partition("&&")[0].replace("$$", "$").replace("/etc/alertmanager", str(CONFIGURATION.parent))
        script = script.replace("> /tmp/", f"> {tmp_path}/")
        subprocess.run(["/bin/sh", "-c", script], env={"ALERT_WEBHOOK": url}, check=True)
        subprocess.run([programs["amtool"], "check-config", tmp_path / "alertmanager.yml"], check=True)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:

            def send(name: str) -> bool:
                alert = {"labels": {"alertname": name, "severity": "critical"}, "annotations": {"summary": name}}
                request = urllib.request.Request(
                    f"http://127.0.0.1:{port}/api/v2/alerts",
                    json.dumps([alert]).encode(),
                    {"Content-Type": "application/json"},
                )
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return bool(answer.status == 200)

            eventually(lambda: send("ServerDown"), ignoring=(OSError,))
            eventually(lambda: received)
            send("MoodExpired")  # a consequence
            send("ProcessDown")
            eventually(lambda: len(received) > 1)
            time.sleep(1)
        finally:
            process.terminate()
            process.wait(30)
    names = [alert["labels"]["alertname"] for group in received for alert in group["alerts"]]
    assert names == ["ServerDown", "ProcessDown"]
    assert received[0]["status"] == "firing"
