"""What has yet to be said of a live camera while the bus is away: bounded, however long that lasts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from crowdmood.domain.messages import CameraState, FramesLost

Control: TypeAlias = FramesLost | CameraState


class Outbox:
    """Losses of one camera's run, joined to ranges where their ids touch, and the newest state."""

    def __init__(self) -> None:
        self._losses: list[FramesLost] = []
        self._state: CameraState | None = None

    def lose(self, loss: FramesLost) -> None:
        """Note that frames will never arrive; ids only grow."""
        last = self._losses[-1] if self._losses else None
        if last and last.reason == loss.reason and last.last_frame_id + 1 == loss.first_frame_id:
            self._losses[-1] = replace(last, last_frame_id=loss.last_frame_id)
        else:
            self._losses.append(loss)

    def announce(self, state: CameraState) -> None:
        """Note what the camera does now; what it did before and nobody heard of no longer matters."""
        self._state = state

    def messages(self) -> Sequence[Control]:
        """What is to be said."""
        return [*self._losses, self._state] if self._state else list(self._losses)

    def clear(self) -> None:
        """It has been said."""
        self._losses.clear()
        self._state = None
