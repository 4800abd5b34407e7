"""Classifies single photos with the cameras' workers: few at once, with a quota for each client; stores nothing."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from api.keys import Caller
from api.limits import RateLimit
from api.pictures import to_picture
from api.problems import Kind, ProblemError
from api.security import TOO_SLOW
from crowdmood.bus.photos import PhotoBus
from crowdmood.core.errors import UnansweredError
from crowdmood.domain.labels import LABELS
from crowdmood.domain.messages import Emotions

NO_ANSWER = Kind("no-worker", 503, "No worker classified the photo.")
PHOTOS_OFF = Kind("photos-off", 409, "The classification of single photos is off.")
TOO_MANY_PHOTOS = Kind("photo-quota", 429, "Too many photos.")

ANSWER_WITHIN_S: Final = 5.0
UNREADABLE: Final = "unreadable"
READABLE_FROM: Final = 0.5
"""A face with a lower probability of being readable is shown as `unreadable`."""
MOST_MEGAPIXELS: Final = 4.0
"""Largest photo: a detector searches it within 1 s to 2 s, while the cameras' frames wait."""
_BODY_WITHIN_S: Final = 30.0
_AT_ONCE: Final = 2
"""Most photos in progress: limits the memory that they use and the detectors that they occupy."""
_CLOSES: Final = {"Connection": "close"}
_BURST_S: Final = 10.0
"""A burst may use this many seconds of a client's quota."""


class PhotoDesk:
    """Checks photos, sends them to the workers and returns the faces.

    Args:
        bus: Connection to the workers; None if the settings have no bus.
        max_megapixels: Larger photos are refused, and so are photos above `MOST_MEGAPIXELS`.
        per_minute: Photos per minute for each client.
        clock: Monotonic time in seconds.

    Attributes:
        max_megapixels: Largest photo that is accepted.
    """

    def __init__(
        self,
        bus: PhotoBus | None,
        max_megapixels: float,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_megapixels = min(max_megapixels, MOST_MEGAPIXELS)
        self._bus = bus
        self._quota = RateLimit(per_minute / 60, _BURST_S)
        self._clock = clock
        self._in_progress = 0
        # One thread, because decoding an image needs far more memory than its file.
        self._decoder = ThreadPoolExecutor(1, "decoder")

    async def classify(
        self, caller: Caller, read: Callable[[], Awaitable[bytes]], record: Callable[[], Awaitable[object]]
    ) -> dict[str, Any]:
        """Return the response to one photo.

        Args:
            caller: The client; the photo counts against its quota.
            read: Reads the file, whose size is already limited.
            record: Records the use before a worker reads the photo; raises if it cannot.

        Raises:
            ProblemError: The photo is invalid, the client's quota is used up, or no worker responded.
        """
        if self._bus is None:
            raise _unanswered("this API has no bus: set CROWDMOOD_BUS_URL")
        if wait_s := self._quota.wait_s(caller.name, self._clock()):
            after = {"Retry-After": str(math.ceil(wait_s))}
            raise ProblemError(TOO_MANY_PHOTOS, "this client's quota of photos per minute is used up", after)
        if self._in_progress >= _AT_ONCE:
            raise _unanswered("too many photos are in progress")
        self._in_progress += 1
        try:
            try:
                body = await asyncio.wait_for(read(), _BODY_WITHIN_S)
            except TimeoutError:
                raise ProblemError(TOO_SLOW, f"send the photo within {_BODY_WITHIN_S:g} s", _CLOSES) from None
            loop = asyncio.get_running_loop()
            picture = await loop.run_in_executor(self._decoder, to_picture, body, self.max_megapixels)
            await record()
            found = await self._bus.classify(picture.jpeg, picture.width, picture.height, ANSWER_WITHIN_S)
        except UnansweredError as error:
            raise _unanswered(str(error)) from None
        finally:
            self._in_progress -= 1
        return answer(found)

    async def close(self) -> None:
        """Close the connection to the bus and end the decoder's thread."""
        self._decoder.shutdown(wait=False)
        if self._bus is not None:
            await self._bus.close()


def shown_label(probabilities: npt.NDArray[np.floating[Any]], readable: float) -> str:
    """Return the likeliest label of a face, or `unreadable`.

    Args:
        probabilities: float (K,), in the order of `LABELS`.
        readable: Probability that an expression can be seen.
    """
    return LABELS[int(probabilities.argmax())] if readable >= READABLE_FROM else UNREADABLE


def answer(found: Emotions) -> dict[str, Any]:
    """Return the response of `POST /predict`: the faces of a photo in the order in which they were found."""
    rows = found.probabilities.astype(np.float64)
    faces = []
    for box, row, readable, quality in zip(found.boxes, rows, found.readable, found.quality, strict=True):
        known = [round(float(probability), 4) for probability in row]
        faces.append(
            {
                "box": [int(side) for side in box],
                "label": shown_label(row, readable),
                "probabilities": dict(zip_longest(LABELS, known)),
                "readable": round(float(readable), 4),
                "quality": round(float(quality), 4),
            }
        )
    return {
        "width": found.ref.width,
        "height": found.ref.height,
        "faces": faces,
        "model": found.model_id,
        "detector": found.detector,
    }


def _unanswered(why: str) -> ProblemError:
    return ProblemError(NO_ANSWER, why, {"Retry-After": "1"})
