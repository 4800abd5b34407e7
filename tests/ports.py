"""Where tests let servers listen."""

import socket


def free_port() -> int:
    """A port of this machine that no server listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
