"""Feeds decoders with damaged input, in a process of its own: `python -m tests.reliability.fuzzing TARGET CASES`.

Prints one JSON object: cases, how many were refused, the slowest case in seconds of processor time, the most memory.
Anything but our own errors ends it with a traceback.
"""

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import simplejpeg
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from api import pictures
from api.problems import ProblemError
from classifier.card import CARD_FILE, load_card
from crowdmood.core.errors import CrowdMoodError
from crowdmood.core.settings import CameraSettings, IngestSettings, load
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.messages import CameraState, Faces, Frame, FrameRef, FramesLost, Message, decode
from crowdmood.domain.mood import Mood, MoodChange
from detector.images import decode as decode_image
from ingest.sources import images
from ingest.sources.video import VideoFile
from tests.crowds import seen

_AT_ONCE = 2000
MODEL = Path(__file__).parents[2] / "classifier" / "models" / "crowdnet"
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@dataclass
class Tally:
    """What came of it."""

    cases: int = 0
    refused: int = 0
    slowest_s: float = 0.0


def damaged(whole: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes like these, but cut, overwritten, repeated or with something in between; or any bytes at all."""

    def damage(content: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
        for kind, place, other in edits:
            at = place % (len(content) + 1)
            match kind:
                case 0:
                    content = content[:at]
                case 1:
                    content = content[:at] + other + content[at + len(other) :]
                case 2:
                    content = content[:at] + other + content[at:]
                case _:
                    content = content[:at] + content[at : at + 64] + content[at:]
        return content

    edit = st.tuples(st.integers(0, 3), st.integers(0, 1 << 20), st.binary(max_size=8))
    return st.one_of(st.builds(damage, whole, st.lists(edit, min_size=1, max_size=4)), st.binary(max_size=200))


def messages() -> tuple[st.SearchStrategy[dict[bytes, bytes]], Callable[[dict[bytes, bytes]], object]]:
    """Fields of stream entries."""
    ref = FrameRef("north", "run", 7, 1_000, 640, 480, recorded=False)
    two = np.array([[0, 0, 20, 20], [30, 0, 50, 20]], np.int32)
    whole: list[Message] = [
        Frame(ref, b"\xff\xd8jpeg"),
        Faces(ref, two, np.ones(2, np.float32), np.zeros((2, 48, 48), np.uint8), "yunet"),
        seen("north", 7, ["happy", "sad"]),
        FramesLost("north", "run", 3, 5, "overload"),
        CameraState("north", "run", "live", False, "rtsp://camera", "", 0, 5),
    ]
    numbers = st.sampled_from([b"-1", b"0", b"1", b"2", b"9" * 18, b"9" * 40, b"1e9", b"nan", "٣".encode(), b""])
    names = st.sampled_from(sorted({name for message in whole for name in message.to_fields()}))
    value = st.one_of(numbers, st.binary(max_size=40), st.none())

    def edited(message: Message, edits: dict[bytes, bytes | None], cuts: dict[bytes, int]) -> dict[bytes, bytes]:
        fields = message.to_fields()
        for name, length in cuts.items():
            fields[name] = fields.get(name, b"")[:length]
        return {name: text for name, text in (fields | edits).items() if text is not None}

    cuts = st.dictionaries(names, st.integers(0, 5000), max_size=1)
    return st.builds(edited, st.sampled_from(whole), st.dictionaries(names, value, max_size=3), cuts), decode


def pictures_of_all_kinds() -> tuple[st.SearchStrategy[bytes], Callable[[bytes], object]]:
    """JPEG, PNG, WebP and BMP, for the detector, the API and folders of images."""
    whole = [simplejpeg.encode_jpeg(PIXELS, 85), simplejpeg.encode_jpeg(PIXELS, 40, "RGB", "420")]
    for kind, more in (("PNG", {}), ("WEBP", {}), ("BMP", {}), ("JPEG", {"progressive": True})):
        with io.BytesIO() as out:
            Image.fromarray(PIXELS).save(out, kind, **more)
            whole.append(out.getvalue())
    limits = IngestSettings(max_frame_megapixels=4)

    def read(content: bytes) -> None:
        for reader in (
            lambda: decode_image(content, "gray", 4),
            lambda: pictures.to_picture(content, 4),
            lambda: images.to_jpeg(content, limits),
        ):
            with suppress(CrowdMoodError, ProblemError):
                reader()

    return damaged(st.sampled_from(whole)), read


def videos() -> tuple[st.SearchStrategy[bytes], Callable[[bytes], object]]:
    """Files with a header, an index and a few frames."""
    whole = []
    folder = Path(tempfile.mkdtemp())
    for suffix, codec in (("mp4", "libx264"), ("mkv", "mpeg4"), ("avi", "mjpeg")):
        with av.open(str(folder / f"whole.{suffix}"), "w") as out:
            stream = out.add_stream(codec, rate=5)
            stream.width, stream.height, stream.pix_fmt = 56, 40, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for _ in range(4):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(PIXELS, "rgb24")))
            out.mux(stream.encode())
        whole.append((folder / f"whole.{suffix}").read_bytes())
    path = folder / "damaged"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        source = VideoFile(path, IngestSettings(max_frame_megapixels=4))
        source.check()
        for number, frame in enumerate(source.frames()):
            with suppress(CrowdMoodError):
                frame.encode()
            if number == 20:
                break

    return damaged(st.sampled_from(whole)), read


def texts() -> tuple[st.SearchStrategy[tuple[str, bytes]], Callable[[tuple[str, bytes]], object]]:
    """Cards of networks, moods and changes as they are stored, confusions as they travel, settings and polygons."""
    folder = Path(tempfile.mkdtemp())
    card = (MODEL / CARD_FILE).read_bytes()
    mood = Mood.blank(
        as_of_ms=1000, window_start_ms=0, valid_until_ms=6000, zone="stadium", camera=None, method="sld",
        model="m", detector="d", cameras={"north": "live"},
    ).to_json()  # fmt: skip
    number = st.one_of(st.floats(), st.integers(), st.text(max_size=5), st.none())
    corners = st.lists(st.lists(number, max_size=3), max_size=8).map(lambda found: json.dumps(found).encode())
    camera = st.fixed_dictionaries({"id": st.text(max_size=5), "uri": st.text(max_size=20)}).map(
        lambda found: json.dumps([found]).encode()
    )
    given_ = st.one_of(
        st.tuples(st.just("card"), damaged(st.just(card))),
        st.tuples(st.just("mood"), damaged(st.just(mood.encode()))),
        st.tuples(st.just("confusions"), st.binary(max_size=400)),
        st.tuples(st.just("polygon"), corners),
        st.tuples(st.just("cameras"), st.one_of(camera, st.binary(max_size=40))),
    )

    def read(case: tuple[str, bytes]) -> None:
        what, content = case
        match what:
            case "card":
                (folder / CARD_FILE).write_bytes(content)
                load_card(folder)
            case "mood":
                for kind in (Mood, MoodChange):
                    with suppress(CrowdMoodError):
                        kind.from_json(content)
            case "confusions":
                Confusions.from_bytes(content)
            case "polygon":
                with suppress(ValidationError):
                    CameraSettings.model_validate_json(b'{"id": "a", "uri": "b", "mask": [' + content + b"]}")
            case _:
                with suppress(ValueError):
                    load(cameras=json.loads(content))

    return given_, read


TARGETS = {"messages": messages, "pictures": pictures_of_all_kinds, "videos": videos, "texts": texts}


def main(target: str, cases: int) -> None:
    """Feed a target."""
    strategy, read = TARGETS[target]()
    tally = Tally()

    def feed(case: object) -> None:
        tally.cases += 1
        began_s = time.process_time()
        try:
            read(case)  # type: ignore[arg-type]
        except CrowdMoodError:
            tally.refused += 1
        tally.slowest_s = max(tally.slowest_s, time.process_time() - began_s)

    while cases > 0:
        # Hypothesis remembers what it has drawn, which takes memory that is not the decoders'.
        some = settings(
            max_examples=min(cases, _AT_ONCE),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        before = tally.cases
        some(given(strategy)(feed))()
        cases -= tally.cases - before
    # Not what getrusage tells: a process begins there with the most that its parent ever held.
    (peak_kb,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    most = int(peak_kb) * 1024
    print(json.dumps({"cases": tally.cases, "refused": tally.refused, "slowest_s": tally.slowest_s, "bytes": most}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
