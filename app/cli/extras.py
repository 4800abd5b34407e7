"""Commands that need an extra: a missing package gives one error line that names the extra."""

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
        extra: Extra that installs the packages that the command imports.
        words: Name of the command after `crowdmood`; None for the name of its function.

    Raises:
        NotInstalledError: The command imports a package that is not installed. The decorated command raises it.
    """

    def decorate(command: Callable[P, T]) -> Callable[P, T]:
        name = words or command.__name__.replace("_", "-")

        @functools.wraps(command)
        def run(*arguments: P.args, **options: P.kwargs) -> T:
            try:
                return command(*arguments, **options)
            except ModuleNotFoundError as error:
                package = (error.name or "").partition(".")[0]
                if package in sys.modules:  # a module of an installed package is missing, and no extra would help
                    raise
                raise NotInstalledError(f"`crowdmood {name}`", package, extra) from error

        return run

    return decorate
