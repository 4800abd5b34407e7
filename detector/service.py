"""The detector's process: reads frames and publishes their faces. Frames without faces are published too."""

import threading
from collections.abc import Mapping, Sequence
from typing import ClassVar

from prometheus_client import Counter

from crowdmood.bus.keys import DETECTOR_GROUP, StreamName
from crowdmood.bus.streams import Bus, DeadLetter, Entry
from crowdmood.bus.worker import Outcome, Stage, Worker
from crowdmood.core import metrics
from crowdmood.core.errors import UndecodableError
from crowdmood.core.settings import Settings, required_url
from crowdmood.domain.messages import Faces, Frame, Message
from crowdmood.store.regions import SavedRegions
from detector.finder import FaceFinder, load_finder
from detector.following import following
from detector.regions import Region

FACES_DROPPED = Counter("crowdmood_faces_dropped_total", "Faces found that go no further.", ["stage", "reason"])

_EVERYWHERE = Region()


class DetectorStage(Stage[Frame]):
    """Finds and crops faces, one frame at a time.

    Args:
        finder: Finds the faces of a frame.
        regions: Regions to search, by camera; the frames of other cameras are searched completely. May change while the
            stage runs.
        min_faces: Frames with fewer faces do not count in metrics, which would otherwise show the number of few people.
    """

    name: ClassVar[str] = DETECTOR_GROUP
    inputs: ClassVar[tuple[StreamName, ...]] = ("frames",)
    background: ClassVar[tuple[StreamName, ...]] = ("photos",)
    accepts: ClassVar[tuple[type[Frame]]] = (Frame,)
    output: ClassVar[StreamName | None] = "faces"

    def __init__(self, finder: FaceFinder, regions: Mapping[str, Region], min_faces: int = 1) -> None:
        self._finder = finder
        self._regions = regions
        self._min_faces = min_faces
        self._faces = 0
        self._dropped = 0

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
        """Return the number of faces that were found and dropped."""
        dropped = f", {self._dropped} dropped" if self._dropped else ""
        return f"{self._faces} faces by {self._finder.detector.name}{dropped}"

    def _find(self, frame: Frame) -> Faces:
        found = self._finder.find(frame.jpeg, self._regions.get(frame.ref.camera_id, _EVERYWHERE))
        self._faces += len(found.boxes)
        self._dropped += found.dropped
        if len(found.boxes) >= self._min_faces:
            metrics.FACES.labels(self.name).inc(len(found.boxes))
        if found.dropped:
            FACES_DROPPED.labels(self.name, "too_many").inc(found.dropped)
        return Faces(frame.ref, found.boxes, found.scores, found.crops, self._finder.detector.name)


def run(settings: Settings, stop: threading.Event, worker_name: str, *, drain: bool = False) -> None:
    """Run a detector until `stop` is set."""
    bus = Bus(required_url(settings.bus_url, "bus"), settings.bus, stop)
    state_url = required_url(settings.state_url, "state")
    saved = SavedRegions(state_url, settings.bus.key_prefix, settings.run_id, stop)
    with following(settings.cameras, saved) as regions:
        stage = DetectorStage(load_finder(settings), regions, settings.aggregator.min_faces)
        Worker(stage, bus, settings.bus, worker_name, stop).run(drain=drain)
