"""Everything that CrowdMood raises on purpose: each message says what was wrong, where, and what to do."""


class CrowdMoodError(Exception):
    """Base of all deliberate errors; the command line prints its text as one line and exits with `exit_code`.

    Attributes:
        exit_code: 2: it will not work until somebody changes something.
    """

    exit_code = 2


class SettingsError(CrowdMoodError):
    """A setting is missing, malformed or contradicts another."""


class DataError(CrowdMoodError):
    """A data set, a footage file or a picture given by the user cannot be used."""


class SourceError(CrowdMoodError):
    """A camera or a footage file cannot be opened or read."""


class IncompleteFootageError(SourceError):
    """Footage broke off in the middle: what there is of it has been worked on all the same.

    Attributes:
        exit_code: 3: the work is done, and the result is not what was asked for.
    """

    exit_code = 3


class ModelError(CrowdMoodError):
    """A model folder is incomplete, altered, or not made for this pipeline."""


class UndecodableError(CrowdMoodError):
    """A message or picture can never be decoded, however often it is tried: it belongs in the dead letters.

    Attributes:
        reason: A short, bounded word for metrics (`undecodable`, `frame_too_large`, ...).
    """

    def __init__(self, text: str, reason: str = "undecodable") -> None:
        super().__init__(text)
        self.reason = reason


class ServerUnavailableError(CrowdMoodError):
    """The bus or the state store could not be reached before we were told to stop."""


class UnansweredError(CrowdMoodError):
    """No worker answered a question in time: the text says why, as far as can be told."""


class LeadershipLostError(CrowdMoodError):
    """Another process has taken the lead over from this one, which must touch nothing any more.

    Attributes:
        exit_code: 4: started again it stands by.
    """

    exit_code = 4


class AlreadyRunningError(CrowdMoodError):
    """Another CrowdMood uses the same data directory."""


class StageRefusedError(CrowdMoodError):
    """A stage cannot work and has said why on standard error: nothing is added to that."""


class StageFailedError(CrowdMoodError):
    """A stage died more often than its restart budget allows."""
