"""One picture's way over the bus and back: the workers that judge the cameras' frames judge it as well."""

import asyncio
import time
import uuid
from typing import Any

import redis
import redis.asyncio

from crowdmood.bus.cluster import Cluster, is_cluster
from crowdmood.bus.keys import BusKeys
from crowdmood.core.errors import SettingsError, UnansweredError, UndecodableError
from crowdmood.core.logs import redact
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import PHOTO_CAMERA, Emotions, Fields, Frame, FrameRef, FramesLost, decode

_STAGES = ("detector", "classifier")


class PhotoBus:
    """The API's view of the bus; asynchronous.

    A photo is a frame of a camera that is none, in a run of its own. Its faces go the way of all faces; what becomes of
    it is not told to the aggregator but to a stream of its own, which lives for seconds (see `Bus.publish`).
    """

    def __init__(self, url: str, settings: BusSettings) -> None:
        self._keys = BusKeys.of(settings)
        self._cluster = Cluster(url, self._keys.stream("frames")) if is_cluster(url) else None
        self._client = _connect(self._cluster.nodes[0] if self._cluster else url)
        self._lost = True

    async def judge(self, jpeg: bytes, width: int, height: int, timeout_s: float) -> Emotions:
        """What the workers see in a picture; nothing of it stays on the bus.

        Args:
            jpeg: The picture, JPEG-coded.
            width: Its width in pixels.
            height: Its height in pixels.
            timeout_s: Longest wait for their answer, in seconds; less than 10.

        Raises:
            UnansweredError: None answered, or they gave it up.
        """
        ref = FrameRef(PHOTO_CAMERA, uuid.uuid4().hex, 0, time.time_ns() // 1_000_000, width, height, recorded=False)
        try:
            await self._find()
            return await self._ask(Frame(ref, jpeg), timeout_s)
        except (redis.RedisError, OSError):
            self._lost = True
            raise UnansweredError("the bus, over which workers are asked, cannot be reached") from None

    async def close(self) -> None:
        """Give the sockets back."""
        await self._client.aclose()

    async def _find(self) -> None:
        """Turn to the cluster's node that has our partition, when we do not know it or it was away."""
        if self._cluster is not None and self._lost:
            address = await asyncio.to_thread(self._cluster.primary)
            await self._client.aclose()
            self._client, self._lost = _connect(address), False

    async def _ask(self, frame: Frame, timeout_s: float) -> Emotions:
        for stage in _STAGES:
            if not await self._works(stage):
                raise UnansweredError(f"no {stage} is ready")
        reply = self._keys.reply(frame.ref.run_id)
        fields: Any = frame.to_fields()
        entry_id: Any = await self._client.xadd(self._keys.stream("frames"), fields)
        answer = None
        try:
            pages: Any = await self._client.xread({reply: "0-0"}, count=1, block=round(timeout_s * 1000))
            answer = next((fields for _, fields in dict(pages or ()).get(reply.encode(), ())), None)
        finally:
            await self._client.delete(reply)
            stuck = None if answer else await self._withdraw(frame.ref, entry_id)
        if answer is None:
            raise UnansweredError(f"no {stuck} had time for it within {timeout_s:g} s")
        return _emotions(answer)

    async def _works(self, stage: str) -> bool:
        async for _ in self._client.scan_iter(match=self._keys.health(stage), count=1000):
            return True
        return False

    async def _withdraw(self, ref: FrameRef, entry_id: Any) -> str:
        """Take back what is left of a photo.

        Returns:
            The stage that it was waiting for.
        """
        if await self._client.xdel(self._keys.stream("frames"), entry_id):
            return "detector"
        faces = self._keys.stream("faces")
        entries: Any = await self._client.xrange(faces, min=entry_id)  # faces are younger than their frame
        for faces_id, fields in entries:
            if fields.get(b"run_id") == ref.run_id.encode():
                await self._client.xdel(faces, faces_id)
        return "classifier"


def _connect(url: str) -> "redis.asyncio.Redis":
    try:
        return redis.asyncio.Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=2.0)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{redact(url)!r} is no server address: use redis://, rediss:// or unix://") from error


def _emotions(answer: Fields) -> Emotions:
    try:
        message = decode(answer)
    except UndecodableError as error:
        raise UnansweredError(f"the workers' answer cannot be read: {error}") from None
    if isinstance(message, Emotions):
        return message
    why = message.reason if isinstance(message, FramesLost) else message.KIND.decode()
    raise UnansweredError(f"the workers gave it up: {why}")
