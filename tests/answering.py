"""The API's application as a client sees it, on a state store and a wall clock that tests rule."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal

from api import examples
from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.store.moods import MoodStore
from tests.waiting import eventually

MINUTE_MS = 60_000
KICKOFF_MS = examples.OK.as_of_ms


@dataclass
class Wall:
    """The wall clock: as real, until a test lets time pass."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class Api:
    """The application as a client sees it, and the store behind it."""

    portal: BlockingPortal
    client: httpx.AsyncClient
    store: MoodStore
    wall: Wall = field(default_factory=Wall)

    def get(self, path: str, headers: dict[str, str] | None = None, **query: str | int) -> httpx.Response:
        return self.portal.call(lambda: self.client.get(path, params=query, headers=headers))

    def publish(
        self,
        *moods: Mood,
        changes: Iterable[MoodChange] = (),
        cameras: dict[str, Any] | None = None,
        keep_s: float | None = None,
    ) -> None:
        self.store.publish(moods, changes=changes, run_id="test", checkpoint={}, cameras=cameras or {}, keep_s=keep_s)

    def eventually(self, path: str, holds: Callable[[Any], bool], **query: str | int) -> Any:
        """Return the first answer of a path that is as wanted."""
        return eventually(lambda: self.get(path, **query).json(), until=holds)


def mood_at(minute: int, camera: str | None = None) -> Mood:
    as_of_ms = KICKOFF_MS + minute * MINUTE_MS
    return replace(
        examples.OK,
        as_of_ms=as_of_ms,
        window_start_ms=as_of_ms - 10_000,
        camera=camera,
        cameras={camera or "north": "live"},
    )
