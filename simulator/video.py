"""Write pictures into an H.264 file, with the marks that compression leaves."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import av

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

# Without mbtree: on processors with AVX-512 it gives another file each time, for some widths (x264 165).
_OPTIONS: Final = {"preset": "veryfast", "crf": "28", "x264-params": "mbtree=0"}
_KEY_FRAME_EVERY_S: Final = 2


@contextmanager
def video_writer(path: Path, size: tuple[int, int], fps: int) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Open a video file; what the context gives takes one picture `(H, W, 3) uint8`, BGR, after the other.

    Args:
        path: The file, `.mp4`.
        size: Width and height in pixels, both even.
        fps: Frames per second.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options=_OPTIONS)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # the same file on every machine
        stream.gop_size = fps * _KEY_FRAME_EVERY_S

        def write(picture: NDArray[np.uint8]) -> None:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))

        yield write
        container.mux(stream.encode())
