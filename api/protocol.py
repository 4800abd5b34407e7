"""HTTP as it arrives: uvicorn's protocol, with bounds on what comes before a body, since its parser has none.

It owns how much of a request is taken in before anybody looks at it, and for how long; it must not know what is asked.
"""

import asyncio
from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api import problems
from api.security import HEAD_BYTES, HEAD_TOO_LARGE

HEAD_WITHIN_S: Final = 10.0
"""Longest wait for a request's line and headers, and for the first request of a connection."""

_LINGER_S: Final = 5.0
"""Longest time for which the rest of a refused head is read and dropped.

A connection that is closed while data comes in is reset, and a reset can overtake the refusal.
"""


class BoundedProtocol(HttpToolsProtocol):
    """Takes requests whose line and headers are of bounded length and come in bounded time.

    The parser joins the pieces of a header one by one, which of a header of many megabytes costs seconds.
    """

    _head_bytes: int | None = None  # what came of an incomplete head after the read that it began in; None: none is
    _late: asyncio.TimerHandle | None = None
    _refused: bool = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Wait for the first request."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_WITHIN_S, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless it is too much."""
        if self._refused:
            return
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        nothing_in_hand = self.cycle is None or self.cycle.response_complete
        if self._head_bytes is not None and self._head_bytes > HEAD_BYTES:
            if nothing_in_hand:
                self._refused = True
                self.transport.write(_TOO_LARGE)
                self.transport.write_eof()
                self._cancel()
                self._late = self.loop.call_later(_LINGER_S, self._close)
            else:
                self.transport.close()
        elif nothing_in_hand and self._late is None and self in self.connections:  # else a WebSocket took over
            self._late = self.loop.call_later(HEAD_WITHIN_S, self._close)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """It ends."""
        self._head_bytes = None
        self._cancel()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Read no further: a chunked body, which no route takes, ends with headers as well."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False
            self.flow.pause_reading()

    def _cancel(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        self.transport.close()


def _refusal() -> bytes:
    problem = problems.response(HEAD_TOO_LARGE, f"at most {HEAD_BYTES} bytes are accepted", {"Connection": "close"})
    status = HTTPStatus(problem.status_code)
    head = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
    head += [name + b": " + value for name, value in problem.raw_headers]
    return b"\r\n".join([*head, b"", bytes(problem.body)])


_TOO_LARGE: Final = _refusal()
