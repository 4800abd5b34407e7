"""A network camera that speaks RTSP (RFC 2326) and sends H.264 (RFC 6184) over TCP, and misbehaves as a test says."""

import base64
import contextlib
import os
import re
import socketserver
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import av

_PAYLOAD_BYTES = 1400
_CLOCK_HZ = 90_000


def coded(clip: Path, width: int, height: int, pictures: int = 20, every: int = 3) -> list[list[bytes]]:
    """Pictures of a clip as H.264, each a key frame with all that is needed to decode it: NAL units by picture."""
    found: list[list[bytes]] = []
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate = 5
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=1:repeat-headers=1"}
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if len(found) == pictures:
                break
            if number % every == 0:
                picture = frame.reformat(width, height, "yuv420p")
                picture.pts = len(found)
                found += [_units(bytes(packet)) for packet in encoder.encode(picture)]
    return found


def _units(coded_picture: bytes) -> list[bytes]:
    return [unit for unit in re.split(rb"\x00{2,3}\x01", coded_picture) if unit]


class RtspCamera(socketserver.ThreadingTCPServer):
    """The camera.

    Attributes:
        mode: `run`; `stall` (it holds the line and is silent); `freeze` (the same picture again and again); `garbage`
            (packets of noise); `gone` (it hangs up, and on everybody who calls).
        shown: What it shows: NAL units by picture.
        ahead_s: How far its clock is ahead.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, shown: Sequence[Sequence[bytes]], fps: float = 5.0) -> None:
        super().__init__(("127.0.0.1", 0), _Viewer)
        self.shown = shown
        self.fps = fps
        self.mode = "run"
        self.ahead_s = 0.0

    @property
    def uri(self) -> str:
        return f"rtsp://eye:s3cret@127.0.0.1:{self.server_address[1]}/stream"

    def description(self) -> str:
        """The session description (RFC 8866)."""
        sets = [unit for unit in self.shown[0] if unit[0] & 31 in (7, 8)]
        shown = ",".join(base64.b64encode(one).decode() for one in sets)
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=eye\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            f"a=rtpmap:96 H264/{_CLOCK_HZ}\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets={shown}\r\n"
            "a=control:track1\r\n"
        )


class _Viewer(socketserver.StreamRequestHandler):
    server: RtspCamera

    def handle(self) -> None:
        over = threading.Event()
        watch = threading.Thread(target=self._hang_up_when_gone, args=(over,), daemon=True)
        watch.start()
        self._writing = threading.Lock()
        with contextlib.suppress(OSError, ValueError):
            while request := self._request():
                method, headers = request
                if not self._answer(method, headers):
                    break
                if method == "PLAY":
                    threading.Thread(target=self._play, args=(over,), daemon=True).start()
        over.set()

    def _request(self) -> tuple[str, dict[str, str]] | None:
        first = self.rfile.read(1)
        while first == b"$":  # what the viewer reports of its reception
            _, size = struct.unpack(">BH", self.rfile.read(3))
            self.rfile.read(size)
            first = self.rfile.read(1)
        if not first:
            return None
        line = (first + self.rfile.readline()).decode()
        headers = {}
        while header := self.rfile.readline().decode().strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        return line.split()[0], headers

    def _answer(self, method: str, headers: dict[str, str]) -> bool:
        known = headers.get("authorization") == "Basic " + base64.b64encode(b"eye:s3cret").decode()
        status, more, body = "200 OK", ["Session: 1"], ""
        if method == "DESCRIBE" and not known:
            status, more = "401 Unauthorized", ['WWW-Authenticate: Basic realm="eye"']
        elif method == "DESCRIBE":
            body = self.server.description()
            more = ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif method == "OPTIONS":
            more = ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"]
        elif method == "SETUP":
            more.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        lines = [f"RTSP/1.0 {status}", f"CSeq: {headers.get('cseq', '0')}", *more, "", body]
        with self._writing:
            self.wfile.write("\r\n".join(lines).encode())
        return method != "TEARDOWN"

    def _hang_up_when_gone(self, over: threading.Event) -> None:
        while not over.wait(0.02):
            if self.server.mode == "gone":
                with contextlib.suppress(OSError):
                    self.connection.shutdown(2)
                return

    def _play(self, over: threading.Event) -> None:
        sequence = number = 0
        started_s = time.monotonic()
        while not over.wait(1 / self.server.fps):
            if self.server.mode == "stall":
                continue
            number += self.server.mode != "freeze"
            units = self.server.shown[number % len(self.server.shown)]
            if self.server.mode == "garbage":
                units = [os.urandom(3000) for _ in units]
            at_s = time.monotonic() - started_s + self.server.ahead_s
            packets = list(_packets(units, sequence, round(at_s * _CLOCK_HZ) % (1 << 32)))
            sequence += len(packets)
            with contextlib.suppress(OSError), self._writing:
                self.wfile.write(b"".join(b"$\x00" + struct.pack(">H", len(packet)) + packet for packet in packets))


def _packets(units: Sequence[bytes], sequence: int, timestamp: int) -> Iterator[bytes]:
    """RTP packets (RFC 3550) of one picture, large units in fragments (FU-A)."""
    payloads: list[bytes] = []
    for unit in units:
        if len(unit) <= _PAYLOAD_BYTES:
            payloads.append(unit)
            continue
        indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 31
        parts = range(1, len(unit), _PAYLOAD_BYTES)
        for at in parts:
            edge = 0x80 if at == 1 else 0x40 if at == parts[-1] else 0
            payloads.append(bytes([indicator, edge | kind]) + unit[at : at + _PAYLOAD_BYTES])
    for place, payload in enumerate(payloads):
        marker = 0x80 if place == len(payloads) - 1 else 0
        yield struct.pack(">BBHII", 0x80, marker | 96, (sequence + place) % 65536, timestamp, 1) + payload


@contextlib.contextmanager
def rtsp_camera(shown: Sequence[Sequence[bytes]]) -> Iterator[RtspCamera]:
    """A camera that is there until the end."""
    camera = RtspCamera(shown)
    thread = threading.Thread(target=camera.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield camera
    finally:
        camera.mode = "gone"
        camera.shutdown()
        camera.server_close()
        thread.join()
