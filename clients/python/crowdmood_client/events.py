"""Server-sent events from the bytes of a stream, by the HTML standard (9.2.6). No I/O."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One event as the server sent it.

    Attributes:
        name: Its type; `message` when the server gave none.
        data: Its data.
        id: The last id that the server gave, with this event or before it.
    """

    name: str
    data: str
    id: str


class EventParser:
    """Turns chunks of bytes, cut anywhere, into messages.

    Args:
        last_id: The last id of the connection before.

    Attributes:
        last_id: The last id that the server gave; comments and empty events may move it on.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""  # the line that has not ended yet
        self._skip_newline = False  # the last chunk ended with \r: a \n that follows belongs to it
        self._first_line = True
        self._id = last_id
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages that end in this chunk."""
        for line in self._lines(self._decoder.decode(chunk)):
            if line:
                self._field(line)
                continue
            self.last_id = self._id
            if self._data:
                yield Message(self._name or "message", "\n".join(self._data), self.last_id)
            self._name, self._data = "", []

    def _lines(self, text: str) -> Iterator[str]:
        if self._skip_newline and text:
            self._skip_newline = False
            text = text.removeprefix("\n")
        if text.endswith("\r"):
            self._skip_newline = True
        *lines, self._text = (self._text + text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
        for line in lines:
            yield line.removeprefix("\ufeff") if self._first_line else line
            self._first_line = False

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
