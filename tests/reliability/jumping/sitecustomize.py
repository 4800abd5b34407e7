"""Gives every Python process whose path begins with this folder a wall clock that a test may set (`WallClock`)."""

import mmap
import os
import struct
import time
from pathlib import Path

_file = os.environ.get("WALL_CLOCK")
if _file:
    with Path(_file).open("r+b") as _opened:
        _shared = mmap.mmap(_opened.fileno(), 8)
    _time, _time_ns = time.time, time.time_ns

    def _ahead_s() -> float:
        return float(struct.unpack("<d", _shared[:8])[0])

    time.time = lambda: _time() + _ahead_s()
    time.time_ns = lambda: _time_ns() + round(_ahead_s() * 1e9)
