"""Classify single photos: publish each as a frame and wait for its result on a reply stream."""

import asyncio
import time
import uuid
from typing import Any

import redis
import redis.asyncio

from crowdmood.bus.cluster import Cluster, is_cluster
from crowdmood.bus.keys import CLASSIFIER_GROUP, DETECTOR_GROUP, BusKeys
from crowdmood.bus.streams import PHOTO_TTL_MS
from crowdmood.core.errors import SettingsError, UnansweredError, UndecodableError
from crowdmood.core.logs import redact
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import PHOTO_CAMERA, Emotions, Fields, Frame, FrameRef, FramesLost, decode


class PhotoBus:
    """The bus as the API uses it for photos; asynchronous.

    The workers that process the frames of cameras process photos too, from streams that they read while no camera's
    frame or face waits. `FrameRef.reply_to` names the stream that gets the result, so that photos never reach the
    aggregator. All these streams expire after seconds (`Bus.publish`), and the API reads nothing but the result.
    """

    def __init__(self, url: str, settings: BusSettings) -> None:
        self._keys = BusKeys.of(settings)
        self._cluster = Cluster(url, self._keys.stream("frames")) if is_cluster(url) else None
        self._client = _connect(self._cluster.nodes[0] if self._cluster else url)
        self._primary_unknown = True

    async def classify(self, jpeg: bytes, width: int, height: int, timeout_s: float) -> Emotions:
        """Return the faces of a photo and their expressions. Nothing of the photo stays on the bus.

        Args:
            jpeg: The photo, JPEG-coded.
            width: Its width in pixels.
            height: Its height in pixels.
            timeout_s: Longest wait for the result, in seconds; less than 10.

        Raises:
            UnansweredError: No worker is ready, the workers did not finish in time, or they gave the photo up.
        """
        photo = uuid.uuid4().hex
        now_ms = time.time_ns() // 1_000_000
        # Workers of releases before `reply_to` reply to the run of `PHOTO_CAMERA`: the same stream.
        ref = FrameRef(PHOTO_CAMERA, photo, 0, now_ms, width, height, recorded=False, reply_to=photo)
        try:
            await self._find_primary()
            return await self._request(Frame(ref, jpeg), timeout_s)
        except (redis.RedisError, OSError):
            self._primary_unknown = True
            raise UnansweredError("the bus is unreachable") from None

    async def close(self) -> None:
        """Close the sockets."""
        await self._client.aclose()

    async def _find_primary(self) -> None:
        """Connect to the cluster node that serves the partition, at first and after each failure."""
        if self._cluster is not None and self._primary_unknown:
            url = await asyncio.to_thread(self._cluster.primary)
            await self._client.aclose()
            self._client, self._primary_unknown = _connect(url), False

    async def _request(self, frame: Frame, timeout_s: float) -> Emotions:
        for stage in (DETECTOR_GROUP, CLASSIFIER_GROUP):
            if not await self._has_worker(stage):
                raise UnansweredError(f"no {stage} is ready")
        reply = self._keys.reply(frame.ref.reply_to)
        fields: Any = frame.to_fields()
        photos = self._keys.stream("photos")
        async with self._client.pipeline(transaction=True) as both:
            both.xadd(photos, fields)
            both.pexpire(photos, PHOTO_TTL_MS)
            entry_id, _ = await both.execute()
        result = None
        try:
            pages: Any = await self._client.xread({reply: "0-0"}, count=1, block=round(timeout_s * 1000))
            result = next((fields for _, fields in dict(pages or ()).get(reply.encode(), ())), None)
        finally:
            await self._client.delete(reply)
            # A detector has it, or had it, when it is gone. Its faces expire by themselves: the API may not read them.
            waits = False if result else bool(await self._client.xdel(photos, entry_id))
        if result is None:
            stuck = DETECTOR_GROUP if waits else CLASSIFIER_GROUP
            raise UnansweredError(f"no {stuck} finished it within {timeout_s:g} s")
        return _emotions(result)

    async def _has_worker(self, stage: str) -> bool:
        async for _ in self._client.scan_iter(match=self._keys.health(stage), count=1000):
            return True
        return False


def _connect(url: str) -> "redis.asyncio.Redis":
    try:
        return redis.asyncio.Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=2.0)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{redact(url)!r} is no server address: use redis://, rediss:// or unix://") from error


def _emotions(result: Fields) -> Emotions:
    try:
        message = decode(result)
    except UndecodableError as error:
        raise UnansweredError(f"the result cannot be read: {error}") from None
    if isinstance(message, Emotions):
        return message
    why = message.reason if isinstance(message, FramesLost) else message.KIND.decode()
    raise UnansweredError(f"the workers gave it up: {why}")
