"""The detector's process: frames in, faces out; a frame without faces goes on too."""

import threading
from collections.abc import Sequence
from typing import ClassVar

from crowdmood import metrics
from crowdmood.errors import UndecodableError
from crowdmood.messages import Faces, Frame, Message
from crowdmood.settings import Settings
from crowdmood.streams.bus import Bus, DeadLetter, Entry
from crowdmood.streams.keys import StreamName
from crowdmood.worker import Outcome, Stage, Worker, required_url
from detector.cropping import crop_faces
from detector.decoding import decode_gray
from detector.haar import HaarDetector


class DetectorStage(Stage[Frame]):
    """Finds and cuts out faces, one frame at a time."""

    name: ClassVar[str] = "detector"
    inputs: ClassVar[tuple[StreamName, ...]] = ("frames",)
    accepts: ClassVar[tuple[type[Frame]]] = (Frame,)
    output: ClassVar[StreamName | None] = "faces"

    def __init__(self, detector: HaarDetector, max_megapixels: float) -> None:
        self._detector = detector
        self._max_megapixels = max_megapixels
        self._faces = 0

    def handle(self, work: Sequence[tuple[Entry, Frame]]) -> Outcome:
        """Find the faces of each frame."""
        found: list[tuple[StreamName, Message]] = []
        done: list[Entry] = []
        dead: list[DeadLetter] = []
        for entry, frame in work:
            try:
                found.append(("faces", self._find(frame)))
                done.append(entry)
            except UndecodableError as error:
                dead.append(DeadLetter(entry, error.reason, str(error)))
        return Outcome(publish=found, done=done, dead=dead)

    def summary(self) -> str:
        """How many faces were found."""
        return f"{self._faces} faces"

    def _find(self, frame: Frame) -> Faces:
        gray = decode_gray(frame.jpeg, self._max_megapixels)
        boxes, scores = self._detector.detect(gray)
        self._faces += len(boxes)
        metrics.FACES.labels(self.name).inc(len(boxes))
        return Faces(frame.ref, boxes, scores, crop_faces(gray, boxes), self._detector.name)


def run(settings: Settings, stop: threading.Event, worker_name: str, *, drain: bool = False) -> None:
    """Run a detector until told to stop."""
    bus = Bus(required_url(settings.bus_url, "bus"), settings.bus, stop)
    stage = DetectorStage(HaarDetector(settings.detector), settings.ingest.max_frame_megapixels)
    Worker(stage, bus, settings.bus, worker_name, stop).run(drain=drain)
