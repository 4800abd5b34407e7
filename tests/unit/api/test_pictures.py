"""What people upload: three formats, turned upright, stripped of all else, and bombs that do not go off."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from api.pictures import Picture, to_picture
from api.problems import ProblemError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def half_red(width: int = 64, height: int = 32) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 2, height))
    return image


def file(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pixels(picture: Picture) -> np.ndarray:
    with Image.open(io.BytesIO(picture.jpeg), formats=["JPEG"]) as image:
        assert image.size == (picture.width, picture.height)
        return np.asarray(image.convert("RGB"), int)


def refused(body: bytes, max_megapixels: float = 50) -> tuple[str, str]:
    with pytest.raises(ProblemError) as caught:
        to_picture(body, max_megapixels)
    return caught.value.kind.name, caught.value.detail


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_each_format_becomes_the_same_picture(kind: str) -> None:
    seen = pixels(to_picture(file(half_red(), kind), 50))
    assert seen.shape == (32, 64, 3)
    assert np.abs(seen[:, :24] - RED).max() < 40
    assert np.abs(seen[:, 40:] - BLUE).max() < 40


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "CMYK", "I;16"])
def test_every_way_to_write_colours_is_understood(mode: str) -> None:
    image = Image.new(mode, (8, 8))
    picture = to_picture(file(image, "JPEG" if mode == "CMYK" else "PNG"), 50)
    assert (picture.width, picture.height) == (8, 8)


def test_a_picture_is_turned_as_its_camera_was_held() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the picture's top is at its right
    picture = to_picture(file(half_red(), "JPEG", exif=exif), 50)
    assert (picture.width, picture.height) == (32, 64)
    assert np.abs(pixels(picture)[:24] - RED).max() < 40


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_each_way_to_hold_a_camera_gives_the_same_upright_picture(kind: str, orientation: int) -> None:
    corners = Image.new("RGB", (64, 32), BLUE)
    corners.paste(RED, (0, 0, 32, 16))
    corners.paste((255, 255, 0), (0, 16, 32, 32))
    # The standard's words: which side of the scene the first row and the first column of the file show.
    sides = {1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left"}
    sides |= {5: "left top", 6: "right top", 7: "right bottom", 8: "left bottom"}
    row, column = sides[orientation].split()
    scene = np.asarray(corners)
    if "right" in (row, column):
        scene = scene[:, ::-1]
    if "bottom" in (row, column):
        scene = scene[::-1]
    if row in ("left", "right"):
        scene = scene.transpose(1, 0, 2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = pixels(to_picture(file(Image.fromarray(np.ascontiguousarray(scene)), kind, exif=exif), 50))
    assert seen.shape == (32, 64, 3)
    places = {(8, 16): RED, (24, 16): (255, 255, 0), (8, 48): BLUE, (24, 48): BLUE}
    assert all(np.abs(seen[place] - colour).max() < 40 for place, colour in places.items())


EXIF_ENTRIES = st.tuples(
    st.sampled_from([0x0112, 0x011A, 0x0128, 0x010E, 0x8769, 0x8825]) | st.integers(0, 0xFFFF),  # tag
    st.integers(0, 16),  # type
    st.sampled_from([0, 1, 2, 8, 1 << 31, (1 << 32) - 1]),  # count
    st.sampled_from([0, 6, 8, 26, (1 << 32) - 1]) | st.integers(0, (1 << 32) - 1),  # value, or where it is
).map(lambda fields: struct.pack("<HHII", *fields))


@st.composite
def exif_blocks(draw: st.DrawFn) -> bytes:
    """A turned picture's notes, damaged; or a directory of entries that need not make sense."""
    if draw(st.booleans()):
        exif = Image.Exif()
        exif.update({0x0112: 6, 0x010E: "somewhere", 0x011A: 72.0, 0x0128: 2, 0x829A: 1.5})
        block = bytearray(exif.tobytes())
        for place, value in draw(st.dictionaries(st.integers(6, len(block) - 1), st.integers(0, 255))).items():
            block[place] = value
        return bytes(block[: draw(st.integers(6, len(block)))])
    entries = draw(st.lists(EXIF_ENTRIES, max_size=5))
    count = struct.pack("<H", len(entries) + draw(st.integers(0, 1)))
    return b"Exif\0\0II*\0\x08\0\0\0" + count + b"".join(entries) + draw(st.binary(max_size=40))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(exif_blocks(), st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_whatever_is_noted_beside_a_picture_it_is_one(block: bytes, kind: str) -> None:
    if kind == "JPEG":
        body = file(half_red(), kind)
        body = body[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + body[2:]
    else:
        body = file(half_red(), kind, exif=block)
    picture = to_picture(body, 50)
    assert {picture.width, picture.height} == {64, 32}
    assert not any(segment in picture.jpeg for segment in (b"Exif", b"somewhere"))


def test_notes_that_cannot_be_written_again_are_no_reason_to_refuse_a_picture() -> None:
    entry = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x011A, 2, 4, 0x41424344)  # a ratio as text
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entry + bytes(4)
    body = file(half_red(), "JPEG")
    body = body[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + body[2:]
    picture = to_picture(body, 50)
    assert (picture.width, picture.height) == (32, 64)


def test_who_took_it_when_and_where_goes_no_further() -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken by a person"
    body = file(half_red(), "JPEG", exif=exif, comment=b"a comment")
    assert b"a person" in body and b"a comment" in body
    assert b"a person" not in to_picture(body, 50).jpeg
    assert b"a comment" not in to_picture(body, 50).jpeg


@pytest.mark.parametrize(
    "body", [b"", b"GIF89a", b"<svg/>", b"--boundary\r\nContent-Disposition: form-data", b"\xff\xd8"]
)
def test_what_is_no_picture_is_refused_with_how_to_send_one(body: bytes) -> None:
    assert refused(body) == (
        "no-picture",
        "send the file itself as the body, as in `curl --data-binary @face.jpg`; it may be damaged",
    )


def test_other_formats_are_refused_although_they_could_be_read() -> None:
    for kind in ("GIF", "BMP", "TIFF"):
        assert refused(file(half_red(), kind))[0] == "no-picture"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_that_was_cut_short_is_refused(kind: str) -> None:
    body = file(Image.effect_noise((200, 200), 80).convert("RGB"), kind)
    assert refused(body[: len(body) // 2])[0] == "no-picture"


@given(st.binary(max_size=200), st.sampled_from(["JPEG", "PNG", "WEBP"]), st.integers(0, 200))
def test_whatever_comes_is_a_picture_or_refused(noise: bytes, kind: str, place: int) -> None:
    body = bytearray(file(half_red(), kind))
    body[place : place + len(noise)] = noise
    try:
        assert to_picture(bytes(body), 50).width > 0
    except ProblemError as problem:
        assert problem.kind.status in (413, 415)


def png_of(width: int, height: int) -> bytes:
    """A small file that claims, and holds, that many white pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    squeezer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(squeezer.compress(row) for _ in range(height)) + squeezer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def webp_of(width: int, height: int) -> bytes:
    """An animation whose canvas is that large, of one small picture."""
    body = bytearray(file(half_red(2, 2), "WEBP", save_all=True, append_images=[Image.new("RGB", (2, 2))]))
    assert body[12:16] == b"VP8X"
    body[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(body)


@pytest.mark.parametrize("side", [8_000, 12_000, 16_000, 40_000])
def test_a_png_bomb_is_refused_by_its_header(side: int) -> None:
    body = png_of(side, side)
    assert len(body) < 500_000
    assert refused(body)[0] == "too-many-pixels"


def test_a_picture_no_jpeg_can_hold_is_refused() -> None:
    assert refused(png_of(70_000, 8))[0] == "too-many-pixels"


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded() -> None:
    body = file(half_red(), "JPEG", progressive=True)
    scans = body.index(b"\xff\xda")
    assert to_picture(body, 50).width == 64
    assert refused(body[:-2] + body[scans:-2] * 200 + body[-2:])[1] == "a JPEG with more than 100 scans is not accepted"


def test_bombs_take_no_memory(tmp_path: Path) -> None:
    code = """
import pathlib, resource, sys
from api.pictures import to_picture
from api.problems import ProblemError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[1:]:
    try:
        to_picture(pathlib.Path(name).read_bytes(), 50)
    except ProblemError as problem:
        print(problem.kind.name)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    for name, body in (("bomb.png", png_of(16_000, 16_000)), ("bomb.webp", webp_of(16_383, 16_383))):
        (tmp_path / name).write_bytes(body)
    words = [sys.executable, "-c", code, "bomb.png", "bomb.webp"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    *kinds, grown_kib = done.stdout.split()
    assert kinds == ["too-many-pixels"] * 2
    assert int(grown_kib) < 100_000  # either would take ten times as much


def png_with_texts(count: int) -> bytes:
    """A small PNG with that many texts of a megabyte each, packed."""
    packed = zlib.compress(bytes(1_000_000), 9)
    texts = b""
    for number in range(count):
        data = b"k%d\0\0" % number + packed
        texts += struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    body = png_of(64, 64)
    end = body.index(b"IDAT") - 4
    return body[:end] + texts + body[end:]


@pytest.mark.parametrize("kind", ["16-bit PNG", "progressive JPEG, turned", "WebP", "WebP animation", "PNG with texts"])
def test_the_largest_photo_that_is_taken_needs_little_memory(kind: str, tmp_path: Path) -> None:
    random, side = np.random.default_rng(0), 2000
    noise = Image.fromarray(random.integers(0, 255, (side, side, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = [Image.new("RGBA", (side, side), (red, 0, 0, 255)) for red in range(3)]
    made = {
        "16-bit PNG": lambda: file(Image.fromarray(random.integers(0, 65_535, (side, side), np.uint16)), "PNG"),
        "progressive JPEG, turned": lambda: file(noise, "JPEG", progressive=True, exif=exif),
        "WebP": lambda: file(noise, "WEBP"),
        "WebP animation": lambda: file(pictures[0], "WEBP", save_all=True, append_images=pictures[1:], lossless=True),
        "PNG with texts": lambda: png_with_texts(60),
    }
    (tmp_path / "photo").write_bytes(made[kind]())
    code = """
import pathlib, resource
from api.pictures import to_picture
from api.problems import ProblemError
body = pathlib.Path("photo").read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(len(to_picture(body, 4).jpeg))
except ProblemError as problem:
    print(problem.kind.name)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    made_of_it, grown_kib = done.stdout.split()
    assert made_of_it == "no-picture" if kind == "PNG with texts" else int(made_of_it) < 6_000_000
    assert int(grown_kib) < 100_000
