"""Frames of a camera that pass by on a real bus, and the preview of them that a running API shows."""

import io
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import numpy as np
from PIL import Image

from crowdmood.bus.streams import Bus
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.domain.messages import Emotions, Frame, FrameRef
from tests.serving import Running

SIZE = (640, 480)
FACE = (200, 120, 300, 240)
MASKED = ((0.6, 0.5), (1.0, 0.5), (1.0, 1.0), (0.6, 1.0))


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (*SIZE[::-1], 3), np.uint8))


def settings_for(server_url: str, bus: BusSettings, **shown: object) -> Settings:
    cameras = [{"id": "north", "uri": "rtsp://camera/stream", "mask": [MASKED]}]
    return load(
        bus_url=server_url, state_url=server_url, bus=bus.model_dump(), cameras=cameras, api={"port": 0} | shown
    )


@contextmanager
def going_by(server_url: str, bus_settings: BusSettings) -> Iterator[None]:
    """Frames of a camera as ingest publishes them, and what was seen; deleted when they were worked on."""
    out = io.BytesIO()
    noise().save(out, "JPEG", quality=95)
    stop = threading.Event()

    def publish() -> None:
        with closing(Bus(server_url, bus_settings)) as bus:
            for frame_id in range(10_000):
                ref = FrameRef("north", "live", frame_id, frame_id * 200, *SIZE, recorded=False)
                one_hot, one = np.eye(8, dtype=np.float16)[[3]], np.ones(1, np.float16)
                found = Emotions(ref, np.array([FACE], np.int32), one_hot, one, one, "net", "haar")
                bus.publish([("frames", Frame(ref, out.getvalue()))])
                bus.connection.client.delete(bus.keys.stream("frames"))
                if stop.wait(0.05):
                    return
                bus.publish([("emotions", found)])
                bus.connection.client.delete(bus.keys.stream("emotions"))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def picture_of(api: Running, key: str | None = None) -> Image.Image:
    answer = httpx.get(
        f"{api.url}/cameras/north/preview", headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("image/jpeg", "no-store")
    return Image.open(io.BytesIO(answer.content))
