"""Commands and the extras that they need: a missing package becomes one line that names the extra."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from crowdmood.core.errors import NotInstalledError

P = ParamSpec("P")
T = TypeVar("T")


def needs(extra: str, words: str | None = None) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator for a command that needs an extra of CrowdMood.

    Args:
        extra: The extra that installs what the command imports.
        words: The words of the command; None for the name of its function.

    Raises:
        NotInstalledError: By the command, when one of its imports is not installed.
    """

    def decorate(command: Callable[P, T]) -> Callable[P, T]:
        name = words or command.__name__.replace("_", "-")

        @functools.wraps(command)
        def run(*arguments: P.args, **options: P.kwargs) -> T:
            try:
                return command(*arguments, **options)
            except ModuleNotFoundError as error:
                package = (error.name or "").partition(".")[0]
                if package in sys.modules:  # of ours: a file is missing, which no extra brings
                    raise
                raise NotInstalledError(f"`crowdmood {name}`", package, extra) from error

        return run

    return decorate
