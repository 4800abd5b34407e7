"""Swaps the network while faces flow: the new one is loaded and warmed beside the old, which goes on meanwhile."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from classifier import DEFAULT_MODEL
from classifier.engines import Engine, load_engine
from crowdmood.core import metrics
from crowdmood.core.errors import CrowdMoodError, ModelError, ServerUnavailableError, SettingsError
from crowdmood.core.settings import ClassifierSettings
from crowdmood.store.model_choices import ModelChoice, ModelChoices

log = logging.getLogger("crowdmood.classifier")

_LOOK_EVERY_S = 1.0


class ModelSwap:
    """Follows which network shall be used: the one that was chosen while the run went on, else that of the settings.

    A network that cannot be used is refused, and the one in use stays.

    Args:
        settings: The classifier's.
        choices: What was chosen while the run goes on.
        reread: Reads the settings anew, for `hang_up`.

    Attributes:
        settings: The classifier's, as they are in force.
        refused: Why the last network was refused; empty when it was not.
    """

    def __init__(
        self, settings: ClassifierSettings, choices: ModelChoices, reread: Callable[[], ClassifierSettings]
    ) -> None:
        self.settings = settings
        self.refused = ""
        self._choices = choices
        self._reread = reread
        self._choice: ModelChoice | None = None
        self._ready: deque[Engine] = deque()
        self._told = threading.Event()
        self._wanted = settings
        self._hung_up = False
        self._closed = False
        self._thread = threading.Thread(target=self._follow, name="model-swap", daemon=True)

    def start(self) -> Engine:
        """The network to begin with; from now on others are looked for.

        Raises:
            ModelError: The one that the settings name cannot be used, and no other was chosen.
        """
        self._choice = self._choices.chosen(patient=True)
        engine = self._load(self.settings, self._choice) if self._choice else None
        engine = engine or load_engine(self.settings.model or DEFAULT_MODEL, self.settings)
        self._thread.start()
        return engine

    def take(self) -> Engine | None:
        """A network that is loaded, warm, and to be used from the next batch on; None while there is none."""
        return self._ready.popleft() if self._ready else None

    def hang_up(self) -> None:
        """Read the settings anew, soon; may be called by a signal's handler."""
        self._hung_up = True
        self._told.set()

    def close(self) -> None:
        """Look no further."""
        self._closed = True
        self._told.set()
        if self._thread.is_alive():
            self._thread.join()
        self._choices.close()

    def _follow(self) -> None:
        refused = ""
        while not self._closed:
            self._told.wait(_LOOK_EVERY_S)
            self._told.clear()
            # Without its store we look again in a moment, and faces flow meanwhile.
            try:
                self._look()
            except ServerUnavailableError:  # the connection has said so
                continue
            except SettingsError as error:
                if str(error) != refused:
                    log.error("the network stays as it is while the state store refuses us: %s", error)
                refused = str(error)
            else:
                refused = ""

    def _look(self) -> None:
        """Go where the settings and the choice lead; what fails for want of the store is wanted the next time, too."""
        if self._hung_up:
            self._hung_up = False
            self._wanted = self._settings_now()
        choice = self._choices.chosen()
        # The newer decision holds: a changed setting ends what was chosen before.
        decided_anew = self._wanted.model != self.settings.model
        if decided_anew:
            choice = None
        if (self._wanted, choice) == (self.settings, self._choice):
            return
        engine = self._load(self._wanted, choice)
        if not decided_anew:
            self._choice = choice
        if engine is None:
            self._wanted = self.settings
            return
        if decided_anew:
            self._choices.forget()
            self._choice = None
        self.settings = self._wanted
        self._ready.append(engine)

    def _settings_now(self) -> ClassifierSettings:
        try:
            return self._reread()
        except CrowdMoodError as error:
            log.error("the settings stay as they were: %s", error)
            return self.settings

    def _load(self, settings: ClassifierSettings, choice: ModelChoice | None) -> Engine | None:
        """The network, or None after saying why it is refused."""
        folder = Path(choice.folder) if choice else settings.model or DEFAULT_MODEL
        try:
            engine = load_engine(folder, settings)
            if choice and engine.model_id != choice.model_id:
                raise ModelError(
                    f"{folder}: holds {engine.model_id} here, {choice.model_id} was chosen; copy the same folder to "
                    "every machine"
                )
        except Exception as error:  # whatever is wrong with it must not stop the network that works
            metrics.MODELS_REFUSED.inc()
            log.error("refused a model, the one in use stays: %s", error, exc_info=not isinstance(error, ModelError))
            self.refused = f"refused what was chosen at {choice.chosen_at_ms if choice else 0}: {error}"
            return None
        self.refused = ""
        return engine
