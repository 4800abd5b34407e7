"""Reads the size that an image file declares, before it is decoded: a small file can decode to gigabytes."""

import struct

_OS2_HEADER = 12
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SHORT = 256, 257, 3


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels from the header of a PNG, BMP, WebP or TIFF file, or None for other files."""
    try:
        if data.startswith(_PNG):
            return struct.unpack_from(">II", data, 16) if data[12:16] == b"IHDR" else None
        if data.startswith(b"BM"):
            width, height = struct.unpack_from("<HH" if data[14] == _OS2_HEADER else "<ii", data, 18)
            return abs(width), abs(height)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:4] in _TIFF:
            return _tiff(data, _TIFF[data[:4]])
    except (struct.error, IndexError):
        pass  # the file is cut short
    return None


def png_chunks_fit(data: bytes) -> bool:
    """Return False for a PNG with a chunk that is longer than the file: OpenCV allocates what the chunk declares."""
    at, kind = len(_PNG), b""
    while data.startswith(_PNG) and kind != b"IEND":
        if at + 8 > len(data):
            return False
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
    return at <= max(len(data), len(_PNG))


def _webp(data: bytes) -> tuple[int, int] | None:
    match data[12:16]:
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (sides,) = struct.unpack_from("<I", data, 21)
            return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
        case b"VP8X":
            low, high = struct.unpack_from("<IH", data, 24)
            sides = low | high << 32
            return (sides & 0xFFFFFF) + 1, (sides >> 24) + 1
    return None


def _tiff(data: bytes, order: str) -> tuple[int, int] | None:
    """Return the size of the first image, the only one that is decoded."""
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, at)
    found = {}
    for number in range(entries):
        tag, kind, _ = struct.unpack_from(f"{order}HHI", data, at + 2 + 12 * number)
        (found[tag],) = struct.unpack_from(order + ("H" if kind == _TIFF_SHORT else "I"), data, at + 10 + 12 * number)
    return (found[_TIFF_WIDTH], found[_TIFF_HEIGHT]) if {_TIFF_WIDTH, _TIFF_HEIGHT} <= found.keys() else None
