"""Choose the network of a running installation: check it here, then wait until every classifier uses it."""

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
    """Choose a network for every classifier of the run; each uses it from its next batch on.

    Args:
        settings: Settings with the URL of the state store.
        folder: The model's folder; None for the shipped network.

    Raises:
        ModelError: The network cannot be used: nothing was changed.
        ServerUnavailableError: The state store is unreachable.
    """
    folder = (folder or DEFAULT_MODEL).resolve()
    engine = load_engine(folder, settings.classifier)
    choices = _choices(settings)
    try:
        return choices.choose(str(folder), engine.model_id)
    finally:
        choices.close()


def forget(settings: Settings) -> None:
    """Delete the choice, so that every classifier uses the network of its settings again.

    Raises:
        ServerUnavailableError: The state store is unreachable.
    """
    choices = _choices(settings)
    choices.forget()
    choices.close()


def wait_until_used(settings: Settings, choice: ModelChoice, timeout_s: float) -> list[str]:
    """Wait until every ready classifier uses the chosen network.

    Args:
        settings: Settings with the URL of the bus.
        choice: The choice.
        timeout_s: Longest wait, in seconds.

    Returns:
        The names of the classifiers; empty if none is ready.

    Raises:
        ModelError: A classifier refused the network or did not load it in time, and uses its previous one.
        ServerUnavailableError: The bus is unreachable.
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
                    f"{', '.join(others)} did not load {choice.model_id} within {timeout_s:g} s: see their logs"
                )
            time.sleep(_POLL_S)
    finally:
        bus.close()


def _choices(settings: Settings) -> ModelChoices:
    return ModelChoices(required_url(settings.state_url, "state"), settings.bus.key_prefix, settings.run_id)


def _uses(using: str, choice: ModelChoice) -> bool:
    return using.startswith(f"{choice.model_id}/") and ";" not in using


def _refusals(others: dict[str, str], choice: ModelChoice) -> Iterator[str]:
    # See `ClassifierStage.using`: "current model; refused what was chosen at TIME: reason".
    for name, using in others.items():
        current, _, refused = using.partition("; ")
        what, _, why = refused.partition(": ")
        if what.endswith(str(choice.chosen_at_ms)):
            yield f"{name} still uses {current}: {why}"
