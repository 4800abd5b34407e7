"""Errors that CrowdMood raises on purpose. Each message says what was wrong, where, and what to do."""


class CrowdMoodError(Exception):
    """Base class of all errors that CrowdMood raises on purpose.

    The command line prints the message on one line and exits with `exit_code`.

    Attributes:
        exit_code: 2: a restart does not help; something must be changed first.
    """

    exit_code = 2


class SettingsError(CrowdMoodError):
    """A setting is missing, malformed or contradicts another setting."""


class DataError(CrowdMoodError):
    """A data set, a footage file or an image given by the user cannot be used."""


class SourceError(CrowdMoodError):
    """A camera or a footage file cannot be opened or read."""


class IncompleteFootageError(SourceError):
    """Footage was not read to its end: it breaks off, or the run was stopped. The frames that were read are processed.

    Attributes:
        exit_code: 3: the work is done, but the result is incomplete.
    """

    exit_code = 3


class ModelError(CrowdMoodError):
    """A model folder is incomplete, altered, or not made for this pipeline."""


class UndecodableError(CrowdMoodError):
    """A message or an image cannot be decoded, and no retry would help: it becomes a dead letter.

    Attributes:
        reason: Short value for metrics, from a bounded set (`undecodable`, `frame_too_large`, …).
    """

    def __init__(self, text: str, reason: str = "undecodable") -> None:
        super().__init__(text)
        self.reason = reason


class ServerUnavailableError(CrowdMoodError):
    """The bus or the state store is unreachable, and the caller does not wait for it or was stopped while waiting."""


class UnansweredError(CrowdMoodError):
    """No worker replied in time. The message gives the reason as far as it is known."""


class LeadershipLostError(CrowdMoodError):
    """Another process has acquired the lease. This process must not write anything more.

    Attributes:
        exit_code: 4: when it is restarted, the process stands by.
    """

    exit_code = 4


class NotInstalledError(CrowdMoodError):
    """A package of an extra is not installed.

    Args:
        what: Command or part that needs the package.
        package: Name of the missing package.
        extra: Extra of CrowdMood that installs it.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs {package}, which is not installed: pip install 'crowdmood[{extra}]'")


class AlreadyRunningError(CrowdMoodError):
    """Another CrowdMood uses the same data directory."""


class StageRefusedError(CrowdMoodError):
    """A stage cannot work. It has printed the reason on standard error, so the command line prints nothing more."""


class StageFailedError(CrowdMoodError):
    """A stage died more often than its restart budget allows."""
