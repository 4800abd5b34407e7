"""uvicorn's HTTP protocol with limits on connections, the request line and headers, because it has none.

This module limits what precedes routing: the connections of an address, and the size and the time of the head of a
request. It must not know routes.
"""

import asyncio
import ipaddress
from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar, Final

from starlette.responses import JSONResponse
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api import problems
from api.limits import Slots
from api.security import HEAD_BYTES, HEAD_TOO_LARGE, TOO_MANY_CONNECTIONS, network_of, too_many_open

HEAD_WITHIN_S: Final = 10.0
"""Longest wait for a request's line and headers, and for the first request of a connection."""

_LINGER_S: Final = 5.0
"""Longest time for which the rest of a refused head is read and dropped.

Closing a connection while data arrive resets it, and the client may receive the reset before the response.
"""


class BoundedProtocol(HttpToolsProtocol):
    """Accepts requests whose line and headers are within a size limit and arrive within a time limit.

    The parser joins the pieces of a header one by one, which takes seconds for a header of many megabytes.

    Attributes:
        slots: The connections of each address.
        refusals: Connections of each address that exceed `slots` and receive the reason before they are closed.
        proxies: Networks of proxies, whose connections are those of many clients and are not limited.
    """

    slots: ClassVar[Slots] = Slots(0)
    refusals: ClassVar[Slots] = Slots(0)
    proxies: ClassVar[Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]] = ()

    # Bytes of an incomplete head that arrived after the read in which it began; None if no head is incomplete.
    _head_bytes: int | None = None
    _late: asyncio.TimerHandle | None = None
    _refused: bool = False
    _slot: tuple[Slots, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Refuse the connection if its address has too many, else start the time limit for the first request."""
        super().connection_made(transport)
        if self._acquire():
            self._late = self.loop.call_later(HEAD_WITHIN_S, self._close)
        elif self._slot is not None:
            self._refuse(_TOO_MANY)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limit and release the slot."""
        self._cancel()
        self._release()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Release the slot: uvicorn's protocol for WebSockets replaces this one, and the limit on streams holds."""
        self._release()
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        """Parse the data, unless the head exceeds its size limit."""
        if self._refused:
            return
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        idle = self.cycle is None or self.cycle.response_complete
        if self._head_bytes is not None and self._head_bytes > HEAD_BYTES:
            if idle:
                self._refuse(_TOO_LARGE)
            else:
                self.transport.close()
        elif idle and self._late is None and self in self.connections:  # else a WebSocket took over
            self._late = self.loop.call_later(HEAD_WITHIN_S, self._close)

    def on_message_begin(self) -> None:
        """Start to count the bytes of a head."""
        super().on_message_begin()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Stop counting and cancel the time limit."""
        self._head_bytes = None
        self._cancel()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Stop reading: no route accepts a chunked body, and its trailers would have no size limit."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False
            self.flow.pause_reading()

    def _acquire(self) -> bool:
        """Take a slot of `slots`, or else one of `refusals`; return whether the connection is within the limit."""
        client = "" if self.client is None else self.client[0]
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return True
        if any(address in network for network in self.proxies):
            return True
        name = network_of(client)
        for slots in (self.slots, self.refusals):
            if slots.acquire([name]):
                self._slot = slots, name
                return slots is self.slots
        return False

    def _release(self) -> None:
        if self._slot is not None:
            slots, name = self._slot
            slots.release([name])
            self._slot = None

    def _refuse(self, answer: bytes) -> None:
        """Send an answer, then close; until then, drop what arrives."""
        self._refused = True
        self.transport.write(answer)
        self.transport.write_eof()
        self._cancel()
        self._late = self.loop.call_later(_LINGER_S, self._close)

    def _cancel(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        self.transport.close()


def protocol(max_connections: int, proxies: Sequence[str]) -> type[BoundedProtocol]:
    """Return the protocol of one server, which counts its own connections.

    Args:
        max_connections: Connections of one address; 0: no limit.
        proxies: Addresses and networks of proxies, which are not limited.
    """
    limits = {
        "slots": Slots(max_connections),
        "refusals": Slots(max_connections),
        "proxies": [ipaddress.ip_network(network) for network in proxies],
    }
    return type("LimitedProtocol", (BoundedProtocol,), limits)


def _encoded(problem: JSONResponse) -> bytes:
    status = HTTPStatus(problem.status_code)
    head = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
    head += [name + b": " + value for name, value in problem.raw_headers]
    return b"\r\n".join([*head, b"", bytes(problem.body)])


_TOO_LARGE: Final = _encoded(
    problems.response(HEAD_TOO_LARGE, f"at most {HEAD_BYTES} bytes are accepted", {"Connection": "close"})
)
_TOO_MANY: Final = _encoded(too_many_open(TOO_MANY_CONNECTIONS))
