"""A full run of everything with a debug log: afterwards no file on this machine holds a frame, a face or its place."""

import base64
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import redis

from app.embedded import running_servers
from crowdmood.bus.connection import connect
from crowdmood.bus.keys import BusKeys
from crowdmood.bus.streams import Bus
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Frame, FrameRef
from tests.http_cameras import http_camera, images_of
from tests.ports import free_port
from tests.waiting import eventually

PASSWORD = b"s3cret"
JPEG_HEADERS = (b"\xff\xd8\xff", b"/9j/")
OLDEST_S = {"frames": 30.0, "faces": 30.0, "emotions": 45.0}
"""How old an entry of a stream may get on a machine that has other things to do; emotions live as long as a window."""


@dataclass
class Seen:
    """What was on the bus, as far as we looked, and how old it got.

    Attributes:
        frames: JPEG files.
        crops: Faces, 2304 bytes each.
        boxes: Places of the faces of one frame, int32 (N, 4) as they travel.
        oldest_s: The greatest age of an entry, by stream, in seconds.
    """

    frames: set[bytes] = field(default_factory=set)
    crops: set[bytes] = field(default_factory=set)
    boxes: set[bytes] = field(default_factory=set)
    oldest_s: dict[str, float] = field(default_factory=dict)

    def look(self, client: Any, keys: BusKeys) -> None:
        """Look at the oldest entries of each stream."""
        for name in ("frames", "faces", "emotions"):
            entries = client.xrange(keys.stream(name), count=4)
            seconds, micros = client.time()
            if entries:
                age_s = seconds + micros / 1e6 - int(entries[0][0].partition(b"-")[0]) / 1000
                self.oldest_s[name] = max(self.oldest_s.get(name, 0.0), age_s)
            for _, fields in entries:
                crops = fields.get(b"crops", b"")
                self.frames |= {fields[b"jpeg"]} if b"jpeg" in fields else set()
                self.crops |= {crops[at : at + 2304] for at in range(0, len(crops), 2304)}
                self.boxes |= {fields[b"boxes"]} if b"boxes" in fields else set()

    def traces(self) -> list[bytes]:
        """Bytes that a file would hold if it held any of this: as it is, in base64, or places as numbers."""
        # What lies in the middle of a JPEG file, and the middle row of a face, are like no other.
        pieces = [jpeg[at : at + 48] for jpeg in self.frames for at in (len(jpeg) // 3, len(jpeg) // 2)]
        pieces += [row for crop in self.crops if len(set(row := crop[1152:1200])) > 12]
        pieces += [places[:48] for places in self.boxes if len(places) >= 48]
        encoded = [base64.b64encode(piece[shift:48])[:40] for piece in pieces for shift in range(3)]
        boxes = [box for places in self.boxes for box in np.frombuffer(places, "<i4").reshape(-1, 4)[:3].tolist()]
        texts = [between.join(map(str, box)).encode() for box in boxes for between in (", ", ",", " ")]
        return sorted({*pieces, *encoded, *texts})


def written_since(start_s: float) -> Iterator[tuple[Path, bytes]]:
    """Every file of this machine that somebody wrote to since then, whoever it was."""
    skipped = [word for path in ("/proc", "/sys", "/dev") for word in ("-path", path, "-prune", "-o")]
    found = subprocess.run(
        ["find", "/", *skipped, "-type", "f", "-newermt", f"@{start_s}", "-size", "-262144k", "-print0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    ).stdout
    shared = [str(path).encode() for path in Path("/dev/shm").rglob("*") if path.is_file()]
    for name in filter(None, [*found.split(b"\0"), *shared]):
        path = Path(os.fsdecode(name))
        with suppress(OSError):  # gone again
            yield path, path.read_bytes()


@contextmanager
def full_run(folder: Path, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`crowdmood run`, whose processes may dump cores as large as they like."""
    log = folder / "run.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "run"],
            env=environment,
            cwd=folder / "work",
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2
            ),
        )
        try:
            yield process, log
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log.read_text()[-3000:]


def descendants(pid: int) -> dict[int, str]:
    """Every process that this one started, and those that they did: command lines by id."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    family = {pid}
    while new := {child for child, parent in parents.items() if parent in family} - family:
        family |= new
    return {one: Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode() for one in family}


def settings_of(folder: Path, yunet: dict[str, Any], cameras: str) -> dict[str, str]:
    for name in ("work", "home", "tmp"):
        (folder / name).mkdir()
    return os.environ | {
        "PYTHONPATH": os.environ.get("PYTHONPATH", str(Path(__file__).parents[2])),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "CROWDMOOD_DATA_DIR": str(folder / "data"),
        "CROWDMOOD_CAMERAS": cameras,
        "CROWDMOOD_API__PORT": str(free_port()),
        "CROWDMOOD_API__PREDICT": "true",
        "CROWDMOOD_LOG__LEVEL": "DEBUG",
        "CROWDMOOD_RUN__DETECTORS": "2",
        "CROWDMOOD_INGEST__SAMPLE_FPS": "2",
        "CROWDMOOD_DETECTOR__KIND": "yunet",
        "CROWDMOOD_DETECTOR__YUNET_MODEL": str(yunet["yunet_model"]),
        "CROWDMOOD_DETECTOR__MIN_FACE_PX": "28",
    }


def damaged(bus: Bus) -> bytes:
    """Publish a frame that no detector can read; returns what marks its pixels."""
    mark = b"marked-pixels-" + os.urandom(64)
    ref = FrameRef("north", "damaged", 0, time.time_ns() // 1_000_000, 640, 480, recorded=False)
    bus.publish([("frames", Frame(ref, b"\xff\xd8\xff\xe0" + mark * 20))])
    return mark


def test_no_file_holds_a_frame_a_face_or_its_place(
    short_terraces: list[dict[str, str]],
    assets: Path,
    yunet: dict[str, Any],
    tmp_path: Path,
    figures: Callable[..., None],
) -> None:
    started_s = time.time() - 1
    seen = Seen()
    with http_camera(images_of(assets / "footage" / "terrace-south.mp4")) as eye:
        uri = f"http://eye:{PASSWORD.decode()}@127.0.0.1:{eye.server_port}/stream?token={PASSWORD.decode()}"
        cameras = f'[{{"id": "north", "uri": "{uri}"}}, {{"id": "tape", "uri": "{short_terraces[0]["uri"]}"}}]'
        environment = settings_of(tmp_path, yunet, cameras)
        with full_run(tmp_path, environment) as (process, log):
            eventually(lambda: running_servers(tmp_path / "data") is not None or process.poll() is not None, 60)
            servers = running_servers(tmp_path / "data")
            assert servers is not None, log.read_text()
            client, settings = connect(servers.bus_url), BusSettings()
            keys, bus = BusKeys.of(settings), Bus(servers.bus_url, settings)
            eventually(lambda: bool(bus.healthy_workers("detector")), 60)
            family = descendants(process.pid)
            limits = {
                command: re.search(r"Max core file size +(\S+)", Path(f"/proc/{pid}/limits").read_text())
                for pid, command in family.items()
            }
            assert len(limits) >= 10, limits  # seven stages, two servers, their keeper, and who started them
            assert {command: limit and limit.group(1) for command, limit in limits.items()} == dict.fromkeys(
                limits, "0"
            )
            mark = damaged(bus)
            photo = images_of(assets / "footage" / "terrace-north.mp4", seconds=0.1)[0]
            api = f"http://127.0.0.1:{environment['CROWDMOOD_API__PORT']}"
            crashed = classified = False
            until_s = time.monotonic() + 12
            while time.monotonic() < until_s or not seen.boxes or not seen.crops or not classified:
                assert time.monotonic() < until_s + 60
                seen.look(client, keys)
                if not crashed and seen.crops:
                    victim = next(
                        pid for pid, command in family.items() if command.endswith("detect --name detector-1 ")
                    )
                    os.kill(victim, signal.SIGABRT)
                    crashed = True
                if crashed and not classified:  # when no frame waits
                    answer = httpx.post(f"{api}/predict", content=photo, timeout=60)
                    assert answer.status_code in (200, 503), answer.text
                    classified = answer.status_code == 200
                time.sleep(0.2)
            dead = client.xrange(keys.stream("dead"))
            with suppress(redis.RedisError):
                client.close()
            bus.close()
    said = log.read_bytes()
    assert b"detector-1 died (exit code -6)" in said
    assert [fields[b"reason"] for _, fields in dead] == [b"undecodable"]
    assert mark[:20] not in b"".join(value for _, fields in dead for value in fields.values())
    traces = [*seen.traces(), mark[:20]]
    assert len(seen.frames) > 5 and len(seen.crops) > 100 and len(traces) > 1000
    files = size = ours = 0
    # Others write here too, and much: their files are searched for a part of it.
    some = random.Random(0).sample(traces, 60)
    for path, content in written_since(started_s):
        files, size = files + 1, size + len(content)
        assert not [trace for trace in some if trace in content], path
        if tmp_path in path.parents:
            ours += 1
            assert not [trace for trace in traces if trace in content], path
            assert not [header for header in JPEG_HEADERS if header in content], path
            assert PASSWORD not in content, path
            assert not path.name.startswith("core"), path
    assert ours >= 3  # the log, the state store's append-only file, figures
    assert seen.oldest_s.keys() >= {"frames", "faces", "emotions"}
    assert all(age_s < OLDEST_S[name] for name, age_s in seen.oldest_s.items()), seen.oldest_s
    ages = ", ".join(f"{name} {age_s:.1f} s" for name, age_s in sorted(seen.oldest_s.items()))
    figures(
        f"{len(seen.frames)} frames and {len(seen.crops)} faces seen on the bus: {len(traces)} traces of them in none "
        f"of {files} files ({size / 1e6:.0f} MB) written on this machine meanwhile, {ours} of them ours"
    )
    figures(f"a detector crashed and left no core file; the oldest entry that the bus held: {ages}")


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    started_s = time.time() - 1
    chance = np.random.default_rng(0)
    crop = chance.integers(0, 256, (48, 48), dtype=np.uint8)
    boxes = chance.integers(0, 1000, (3, 4), dtype=np.int32)
    jpeg = chance.bytes(9000)
    traces = Seen({jpeg}, {crop.tobytes()}, {boxes.tobytes()}).traces()
    kept = {
        "frame": jpeg[650:5000],
        "crop": crop.tobytes(),
        "boxes": b"boxes:" + boxes.tobytes(),
        "text": json.dumps(boxes.tolist()).encode(),
        "csv": b"\n".join(",".join(map(str, box)).encode() for box in boxes.tolist()),
        "base64": base64.b64encode(b"x" + jpeg),
    }
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    found = {path.name for path, content in written_since(started_s) if any(trace in content for trace in traces)}
    assert found >= kept.keys()
