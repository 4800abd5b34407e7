"""Whatever comes in: decoders refuse it with our own errors, at once and in little memory."""

import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from api import pictures
from api.problems import ProblemError
from crowdmood.core.errors import UndecodableError
from crowdmood.core.polygons import check_polygon
from crowdmood.core.settings import CameraSettings, IngestSettings
from ingest.sources import images
from ingest.sources.headers import declared_size

CASES = int(os.environ.get("RELIABILITY_CASES", "200000"))
SHARES = {"messages": 0.7, "pictures": 0.25, "videos": 0.01, "texts": 0.04}
LONGEST_S = 1.0
MOST_BYTES = 500_000_000
ROOT = Path(__file__).parents[2]


def feed(target: str, cases: int, figures: Callable[..., None]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.fuzzing", target, str(cases)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    figures(
        f"{told['cases']} damaged {target}, {told['refused']} refused as a whole; slowest {told['slowest_s']:.3f} s of "
        f"processor time, at most {told['bytes'] / 1e6:.0f} MB"
    )
    assert told["cases"] >= cases
    assert told["slowest_s"] < LONGEST_S
    assert told["bytes"] < MOST_BYTES


@pytest.mark.parametrize("target", SHARES)
def test_damaged_input_is_refused(target: str, figures: Callable[..., None]) -> None:
    feed(target, round(2000 * SHARES[target]), figures)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("target", SHARES)
def test_much_damaged_input_is_refused(target: str, figures: Callable[..., None]) -> None:
    feed(target, round(CASES * SHARES[target]), figures)


def png_bomb(width: int, height: int) -> bytes:
    """A valid PNG of a few kilobytes that unfolds to width times height pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    line = b"\0" * (1 + width // 8)
    rows = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bmp_bomb(width: int, height: int) -> bytes:
    """The header of a huge BMP."""
    return b"BM" + struct.pack("<IHHI", 60, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


def webp_bomb(width: int, height: int) -> bytes:
    """The header of a huge lossless WebP."""
    size = struct.pack("<I", width - 1 | (height - 1) << 14)
    content = b"WEBPVP8L" + struct.pack("<I", 25) + b"\x2f" + size + b"\0" * 21
    return b"RIFF" + struct.pack("<I", len(content)) + content


def tiff_bomb(width: int, height: int) -> bytes:
    """A valid TIFF of a few kilobytes."""
    with io.BytesIO() as out:
        Image.new("1", (width, height)).save(out, "TIFF", compression="group4")
        return out.getvalue()


@pytest.mark.parametrize(
    "bomb",
    [png_bomb(32_000, 32_000), bmp_bomb(32_000, 32_000), webp_bomb(16_000, 16_000), tiff_bomb(16_000, 16_000)],
    ids=["png", "bmp", "webp", "tiff"],
)
def test_a_small_file_that_would_unfold_to_a_huge_picture_is_refused_by_its_header(bomb: bytes) -> None:
    assert len(bomb) < 300_000
    began_s = time.process_time()
    with pytest.raises(UndecodableError) as refused:
        images.to_jpeg(bomb, IngestSettings())
    assert refused.value.reason == "frame_too_large"
    with pytest.raises(ProblemError):
        pictures.to_picture(bomb, 25)
    assert time.process_time() - began_s < LONGEST_S


@pytest.mark.parametrize("claimed", [0x7FFFFFFF, 0xFFFFFFF0, 5000])
def test_a_part_of_a_picture_that_claims_to_be_longer_than_the_file_takes_no_memory(claimed: int) -> None:
    whole = png_bomb(64, 64)
    at = whole.index(b"IDAT") - 4
    with pytest.raises(UndecodableError):
        images.to_jpeg(whole[:at] + struct.pack(">I", claimed) + whole[at + 4 :], IngestSettings())
    assert images.to_jpeg(whole, IngestSettings()).width == 64


@pytest.mark.parametrize("size", [(1, 1), (57, 40), (300, 5)])
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}),
    ],
)
def test_a_header_tells_the_size_that_the_picture_has(kind: str, more: dict[str, Any], size: tuple[int, int]) -> None:
    with io.BytesIO() as out:
        Image.new("RGB", size, (10, 200, 30)).save(out, kind, **more)
        assert declared_size(out.getvalue()) == size
        for length in range(0, len(out.getvalue()), 7):
            assert declared_size(out.getvalue()[:length]) in (None, size)
    assert declared_size(b"\x2f" + b"\xff" * 40) is None  # WebP's innermost part alone, which OpenCV would take


def test_a_polygon_of_very_many_corners_is_refused_at_once() -> None:
    corners = [(number / 100_000, 0.5 if number % 2 else 0.6) for number in range(50_000)]
    began_s = time.process_time()
    with pytest.raises(ValueError, match="at most 500 corners"):
        check_polygon(corners)
    with pytest.raises(ValidationError):
        CameraSettings.model_validate({"id": "a", "uri": "b", "mask": [corners]})
    assert time.process_time() - began_s < LONGEST_S
