"""Reliable cancellation of asyncio tasks."""

import asyncio
from typing import Any

_RETRY_AFTER_S = 0.5


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until all of them are done, whatever they raise.

    Cancellation is repeated, because one request can get lost: before Python 3.12, `asyncio.wait_for` drops a
    cancellation that arrives when the awaited future has just finished (bpo-37658). The Redis client writes every
    command through it.
    """
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_RETRY_AFTER_S)
