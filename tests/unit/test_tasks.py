"""Ending asyncio tasks for certain."""

import asyncio

from crowdmood.core import tasks


async def _commands(started: list[asyncio.Future[None]]) -> None:
    """As the Redis client writes: every command through `asyncio.wait_for`."""
    while True:
        started.append(asyncio.get_running_loop().create_future())
        await asyncio.wait_for(started[-1], 60)


async def _fails() -> None:
    raise ValueError("lost its way")


def test_a_task_that_loses_a_cancellation_is_asked_again() -> None:
    async def run() -> asyncio.Task[None]:
        started: list[asyncio.Future[None]] = []
        task = asyncio.create_task(_commands(started))
        while not started:
            await asyncio.sleep(0)
        started[0].set_result(None)  # what it waits for is done in the moment when it is cancelled
        await asyncio.wait_for(tasks.end(task), 5)
        return task

    assert asyncio.run(run()).cancelled()


def test_a_task_that_failed_is_done() -> None:
    async def run() -> asyncio.Task[None]:
        task = asyncio.create_task(_fails())
        await asyncio.sleep(0)
        await tasks.end(task)
        return task

    assert str(asyncio.run(run()).exception()) == "lost its way"


def test_a_task_that_never_began_ends() -> None:
    async def run() -> asyncio.Task[None]:
        task = asyncio.create_task(_fails())
        task.cancel()
        await tasks.end(task)
        return task

    assert asyncio.run(run()).cancelled()
