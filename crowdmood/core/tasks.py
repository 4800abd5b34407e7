"""Ending asyncio tasks for certain."""

import asyncio
from typing import Any

_ASK_AGAIN_AFTER_S = 0.5


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and return when all of them are done, whatever they raise.

    One request is not enough: before Python 3.12, a cancellation that meets `asyncio.wait_for` in the moment when what
    it waits for is done is lost (bpo-37658), and the Redis client writes every command through it.

    Args:
        tasks: Any, done or not.
    """
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_ASK_AGAIN_AFTER_S)
