"""The account of every camera's frames: the table behind `GET /cameras` and `crowdmood ledger`."""

from collections.abc import Collection, Mapping
from typing import Any

from aggregator.camera_run import Account
from crowdmood.core import metrics
from crowdmood.domain.messages import CameraState, Emotions, FrameRef
from crowdmood.store.moods import CameraRow, CameraTable


class Ledger:
    """Counts frames and faces per camera, and keeps each camera's state.

    Args:
        min_faces: Frames with fewer faces add none to the counts: faces per frame would be the number of few people.
    """

    def __init__(self, min_faces: int) -> None:
        self._min_faces = min_faces
        self.table: CameraTable = {}
        self._cut_off: dict[str, int] = {}

    def restore(self, table: CameraTable) -> None:
        """Continue from a stored table; rows of an earlier release may lack fields."""
        self.table = {name: _empty_row() | row for name, row in table.items()}

    def count(self, emotions: Emotions, unfit: Mapping[str, int]) -> None:
        """Record a counted frame.

        Args:
            emotions: Its faces.
            unfit: Number of its faces that do not count towards a mood, by reason.
        """
        row = self._row(emotions.ref.camera_id)
        row["frames"] += 1
        if len(emotions.boxes) >= self._min_faces:
            row["faces"] += len(emotions.boxes)
            for reason, faces in unfit.items():
                row["unfit"][reason] = row["unfit"].get(reason, 0) + faces
        row["model"], row["detector"] = emotions.model_id, emotions.detector
        row["last_frame_at_ms"] = max(row["last_frame_at_ms"] or 0, emotions.ref.captured_at_ms)

    def duplicate(self, ref: FrameRef) -> None:
        """Record a frame that arrived again and was not counted again."""
        self._row(ref.camera_id)["duplicates"] += 1

    def late(self, ref: FrameRef) -> None:
        """Record a frame that arrived too late to be counted."""
        self._row(ref.camera_id)["late"] += 1

    def lost(self, camera_id: str, reason: str, frames: int) -> None:
        """Record frames that will not arrive."""
        lost = self._row(camera_id)["lost"]
        lost[reason] = lost.get(reason, 0) + frames
        metrics.CAMERA_FRAMES_LOST.labels(camera_id).inc(frames)

    def settle(self, accounts: Mapping[str, Account]) -> None:
        """Record how many frames each camera has in total, are missing, may still arrive, and are held for windows."""
        for camera_id, account in accounts.items():
            row = self._row(camera_id)
            row["accepted"], row["awaited"], row["held"] = account.accepted, account.awaited, account.held
            row["run_id"], row["run_accepted"] = account.run_id, account.run_accepted
            if new := account.missing - row["lost"].get("missing", 0):
                row["lost"]["missing"] = account.missing
                metrics.FRAMES_LOST.labels("aggregator", "missing").inc(new)
                metrics.CAMERA_FRAMES_LOST.labels(camera_id).inc(new)

    def state(self, message: CameraState) -> None:
        """Record the reported state of a camera."""
        self._row(message.camera_id).update(
            state=message.state,
            since_ms=message.at_ms,
            source=message.source,
            recorded=message.recorded,
            detail=message.detail,
            run_id=message.run_id,
        )
        if message.recorded and (message.frame_count or message.state == "ended"):
            self._row(message.camera_id)["frame_count"] = message.frame_count

    def cut_off(self, cameras: Collection[str], at_ms: int) -> None:
        """Set the cameras whose partition of the bus is unreachable: they are down until it is back.

        Args:
            cameras: All such cameras.
            at_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
        """
        self._cut_off = {camera_id: self._cut_off.get(camera_id, at_ms) for camera_id in cameras}

    def shown(self) -> CameraTable:
        """Return the table to publish; a camera that is cut off is down, whatever it reported last."""
        down = {"state": "down", "detail": "its partition of the bus is unreachable"}
        return {
            name: row | down | {"since_ms": self._cut_off[name]}
            if name in self._cut_off and row["state"] != "ended"
            else row
            for name, row in self.table.items()
        }

    def troubled(self) -> dict[str, str]:
        """Return the state of each camera that is frozen, refused or down."""
        return {
            name: row["state"] for name, row in self.shown().items() if row["state"] in ("frozen", "refused", "down")
        }

    def _row(self, camera_id: str) -> dict[str, Any]:
        return self.table.setdefault(camera_id, _empty_row())


def _empty_row() -> dict[str, Any]:
    return CameraRow().model_dump()
