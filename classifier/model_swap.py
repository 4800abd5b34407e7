"""Swap the network while frames flow: load and warm the new one in the background, beside the one in use."""

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

from classifier import DEFAULT_MODEL
from classifier.engines import Engine, load_engine
from crowdmood.core import metrics
from crowdmood.core.errors import CrowdMoodError, ModelError
from crowdmood.core.settings import ClassifierSettings
from crowdmood.store.follower import Follower
from crowdmood.store.model_choices import ModelChoice, ModelChoices

log = logging.getLogger("crowdmood.classifier")


class ModelSwap:
    """Loads the network to use: the one chosen in this run, else the one of the settings.

    A network that cannot be used is refused, and the one in use stays.

    Args:
        settings: The classifier's settings.
        choices: The choices made in this run.
        read_settings: Reads the current settings, for `reload_settings`.

    Attributes:
        settings: The classifier's settings in force.
        refused: Why the last network was refused; empty if it was not.
    """

    def __init__(
        self, settings: ClassifierSettings, choices: ModelChoices, read_settings: Callable[[], ClassifierSettings]
    ) -> None:
        self.settings = settings
        self.refused = ""
        self._choices = choices
        self._read_settings = read_settings
        self._choice: ModelChoice | None = None
        self._ready: deque[Engine] = deque()
        self._wanted = settings
        self._reload = False
        self._follower = Follower("the choice of the network", self._update)

    def start(self) -> Engine:
        """Return the first network, and follow changes in the background from now on.

        Raises:
            ModelError: The network of the settings cannot be used, and no other was chosen.
        """
        self._choice = self._choices.chosen(patient=True)
        engine = self._load(self.settings, self._choice) if self._choice else None
        engine = engine or load_engine(self.settings.model or DEFAULT_MODEL, self.settings)
        self._follower.start()
        return engine

    def next_engine(self) -> Engine | None:
        """Return a loaded and warmed network to use from the next batch on, or None if there is none."""
        return self._ready.popleft() if self._ready else None

    def reload_settings(self) -> None:
        """Read the settings again in the background; safe to call from a signal handler."""
        self._reload = True
        self._follower.wake()

    def close(self) -> None:
        """Stop following changes."""
        self._follower.close()
        self._choices.close()

    def _update(self) -> None:
        """Load the network that the settings and the choice name. The next call repeats an attempt that failed."""
        if self._reload:
            self._reload = False
            self._wanted = self._current_settings()
        choice = self._choices.chosen()
        # The newer decision wins: a changed setting ends an earlier choice.
        setting_changed = self._wanted.model != self.settings.model
        if setting_changed:
            choice = None
        if (self._wanted, choice) == (self.settings, self._choice):
            return
        engine = self._load(self._wanted, choice)
        if not setting_changed:
            self._choice = choice
        if engine is None:
            self._wanted = self.settings
            return
        if setting_changed:
            self._choices.forget()
            self._choice = None
        self.settings = self._wanted
        self._ready.append(engine)

    def _current_settings(self) -> ClassifierSettings:
        try:
            return self._read_settings()
        except CrowdMoodError as error:
            log.error("the settings stay as they were: %s", error)
            return self.settings

    def _load(self, settings: ClassifierSettings, choice: ModelChoice | None) -> Engine | None:
        """Return the network, or log why it is refused and return None."""
        folder = Path(choice.folder) if choice else settings.model or DEFAULT_MODEL
        try:
            engine = load_engine(folder, settings)
            if choice and engine.model_id != choice.model_id:
                raise ModelError(
                    f"{folder}: holds {engine.model_id} here, {choice.model_id} was chosen; copy the same folder to "
                    "every machine"
                )
        except Exception as error:  # no failure of the new network may stop the one in use
            metrics.MODELS_REFUSED.inc()
            log.error("refused a model, the one in use stays: %s", error, exc_info=not isinstance(error, ModelError))
            self.refused = f"refused what was chosen at {choice.chosen_at_ms if choice else 0}: {error}"
            return None
        self.refused = ""
        return engine
