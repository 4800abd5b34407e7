"""uvicorn's HTTP protocol with limits on the request line and headers, because its parser has none.

This module limits the size and the time of the part of a request that precedes routing; it must not know routes.
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

Closing a connection while data arrive resets it, and the client may receive the reset before the response.
"""


class BoundedProtocol(HttpToolsProtocol):
    """Accepts requests whose line and headers are within a size limit and arrive within a time limit.

    The parser joins the pieces of a header one by one, which takes seconds for a header of many megabytes.
    """

    # Bytes of an incomplete head that arrived after the read in which it began; None if no head is incomplete.
    _head_bytes: int | None = None
    _late: asyncio.TimerHandle | None = None
    _refused: bool = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Start the time limit for the first request."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_WITHIN_S, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limit."""
        self._cancel()
        super().connection_lost(exc)

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
                self._refused = True
                self.transport.write(_TOO_LARGE)
                self.transport.write_eof()
                self._cancel()
                self._late = self.loop.call_later(_LINGER_S, self._close)
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
