"""Chooses the network of a running installation: verified here first, then taken up by every classifier."""

import time
from collections.abc import Iterator
from pathlib import Path

from classifier import DEFAULT_MODEL
from classifier.engines import load_engine
from crowdmood.bus.keys import CLASSIFIER_GROUP
from crowdmood.bus.partitions import AllPartitions
from crowdmood.core.errors import ModelError
from crowdmood.core.settings import Settings, required_url
from crowdmood.store.model_choices import ModelChoice, ModelChoices

_POLL_S = 0.2


def choose(settings: Settings, folder: Path | None) -> ModelChoice:
    """Make every classifier of the run use a network, beginning between two batches.

    Args:
        settings: With the state store's address.
        folder: The model's folder; None for the one that comes with CrowdMood.

    Raises:
        ModelError: It cannot be used: nothing was changed.
        ServerUnavailableError: The state store is away.
    """
    folder = (folder or DEFAULT_MODEL).resolve()
    engine = load_engine(folder, settings.classifier)
    choices = _choices(settings)
    try:
        return choices.choose(str(folder), engine.model_id)
    finally:
        choices.close()


def forget(settings: Settings) -> None:
    """Make every classifier use what its settings name again.

    Raises:
        ServerUnavailableError: The state store is away.
    """
    choices = _choices(settings)
    choices.forget()
    choices.close()


def taken_up(settings: Settings, choice: ModelChoice, timeout_s: float) -> list[str]:
    """Wait until every classifier that is ready uses a choice.

    Args:
        settings: With the bus's address.
        choice: What they shall use.
        timeout_s: Longest wait, in seconds.

    Returns:
        The classifiers' names; none when none is ready.

    Raises:
        ModelError: One of them refuses it or has not taken it up in time: it goes on with what it had.
        ServerUnavailableError: The bus is away.
    """
    bus = AllPartitions(required_url(settings.bus_url, "bus"), settings.bus)
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            partitions = [one.workers(CLASSIFIER_GROUP) for one in bus.partitions]
            workers = {name: using for some in partitions for name, using in some.items()}
            others = {name: using for name, using in workers.items() if not _uses(using, choice)}
            if not others:
                return list(workers)
            if refusals := list(_refusals(others, choice)):
                raise ModelError("; ".join(refusals))
            if time.monotonic() > deadline:
                raise ModelError(
                    f"{', '.join(others)} did not take up {choice.model_id} within {timeout_s:g} s: see their logs"
                )
            time.sleep(_POLL_S)
    finally:
        bus.close()


def _choices(settings: Settings) -> ModelChoices:
    return ModelChoices(required_url(settings.state_url, "state"), settings.bus.key_prefix, settings.run_id)


def _uses(using: str, choice: ModelChoice) -> bool:
    return using.startswith(f"{choice.model_id}/") and ";" not in using


def _refusals(others: dict[str, str], choice: ModelChoice) -> Iterator[str]:
    for name, using in others.items():
        current, _, refused = using.partition("; ")
        told, _, why = refused.partition(": ")
        if told.endswith(str(choice.chosen_at_ms)):
            yield f"{name} goes on with {current}: {why}"
