"""Reliable cancellation of asyncio tasks."""

import asyncio

from crowdmood.core import tasks


async def _commands(started: list[asyncio.Future[None]]) -> None:
    """Await one future after another through `asyncio.wait_for`, as the Redis client does for every command."""
    while True:
        started.append(asyncio.get_running_loop().create_future())
        await asyncio.wait_for(started[-1], 60)


async def _fails() -> None:
    raise ValueError("failed")


def test_cancels_again_when_a_task_loses_the_first_cancellation() -> None:
    async def run() -> asyncio.Task[None]:
        started: list[asyncio.Future[None]] = []
        task = asyncio.create_task(_commands(started))
        while not started:
            await asyncio.sleep(0)
        started[0].set_result(None)  # the awaited future is done when the task is cancelled
        await asyncio.wait_for(tasks.end(task), 5)
        return task

    assert asyncio.run(run()).cancelled()


def test_returns_when_a_task_has_failed() -> None:
    async def run() -> asyncio.Task[None]:
        task = asyncio.create_task(_fails())
        await asyncio.sleep(0)
        await tasks.end(task)
        return task

    assert str(asyncio.run(run()).exception()) == "failed"


def test_cancels_a_task_that_has_not_started() -> None:
    async def run() -> asyncio.Task[None]:
        task = asyncio.create_task(_fails())
        task.cancel()
        await tasks.end(task)
        return task

    assert asyncio.run(run()).cancelled()
