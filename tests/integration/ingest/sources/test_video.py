"""Recorded footage in real video files: complete, damaged, empty and unusual ones."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg

from crowdmood.core.errors import SourceError
from crowdmood.core.settings import CameraSettings, IngestSettings
from ingest.sources import recorded_source
from ingest.sources.base import RecordedSource

SETTINGS = IngestSettings()


def film(
    path: Path,
    frames: int = 50,
    fps: int = 10,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    skip: int = 0,
    start: int = 0,
) -> Path:
    """Write a video of noise, so that no frame is tiny; the left half is dark."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=fps, options={"g": "10", "bf": "2"} if codec == "libx264" else {})
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        container.start_encoding()  # writes the header even when nothing follows
        for number in range(frames):
            image = noise.integers(128, 255, (size[1], size[0], 3), dtype=np.uint8)
            image[:, : size[0] // 2] //= 4
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = start + number + (skip if number >= frames // 2 else 0)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def source(path: Path, settings: IngestSettings = SETTINGS) -> RecordedSource:
    return recorded_source(CameraSettings.model_validate({"id": "north", "uri": str(path)}), settings)


def times_until_the_end(footage: RecordedSource) -> tuple[list[int], str]:
    times: list[int] = []
    try:
        for frame in footage.frames():
            frame.encode()
            times.append(frame.at_ms)
    except SourceError as error:
        return times, str(error)
    return times, ""


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("b.mkv", "libx264"), ("c.ts", "libx264"), ("d.avi", "mjpeg"), ("with: colon.mp4", "mjpeg")],
)
def test_yields_frames_by_their_presentation_times(tmp_path: Path, name: str, codec: str) -> None:
    footage = source(film(tmp_path / name, codec=codec))
    footage.check()
    first, second = times_until_the_end(footage), times_until_the_end(footage)
    assert first == second == ([200 * n for n in range(25)], "")


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", "mjpeg"),
        ("b.webm", "libvpx"),
        ("c.ts", "libx264"),
        ("d.mp4", "libx264"),
        ("e.flv", "libx264"),
        ("f.avi", "libx264"),
        ("g.asf", "mpeg4"),
    ],
)
def test_length_of_a_recording_whose_clock_does_not_begin_at_zero_is_that_of_its_frames(
    tmp_path: Path, name: str, codec: str
) -> None:
    footage = source(film(tmp_path / name, codec=codec, start=50))
    assert footage.check() in range(24, 27)  # declared lengths are exact to a frame or two
    assert times_until_the_end(footage) == ([200 * n for n in range(25)], "")


def test_warns_about_the_missing_end_of_a_recording_that_begins_late(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = film(tmp_path / "a.mkv", codec="mjpeg", start=50)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    times, problem = times_until_the_end(source(path))
    assert 10 <= len(times) <= 18
    assert problem == ""
    assert "declares a length of 5.0 s" in caplog.text


def test_keeps_size_and_content(tmp_path: Path) -> None:
    image = next(source(film(tmp_path / "a.mp4", frames=3, size=(98, 66))).frames()).encode()
    gray = simplejpeg.decode_jpeg(image.jpeg, "GRAY")
    assert (image.width, image.height) == (98, 66) == gray.shape[1::-1]
    assert gray[:, :45].mean() < 60 < 150 < gray[:, 53:].mean()


def test_gap_in_the_recording_is_a_gap_in_event_time(tmp_path: Path) -> None:
    times, _ = times_until_the_end(source(film(tmp_path / "gap.mkv", frames=20, skip=30)))
    assert times == [0, 200, 400, 600, 800, *(4000 + 200 * n for n in range(5))]


def test_rotates_a_video_that_was_filmed_sideways(tmp_path: Path) -> None:
    path = film(tmp_path / "phone.mp4", frames=3)
    data = bytearray(path.read_bytes())
    # The matrix of the track header means "rotate by 90 degrees clockwise to view", as written by a phone held upright.
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    image = next(source(path).frames()).encode()
    gray = simplejpeg.decode_jpeg(image.jpeg, "GRAY")
    assert (image.width, image.height) == (48, 64)
    assert gray[:30].mean() < 60 < 150 < gray[34:].mean()  # the dark left side is now on top


def test_yields_every_frame_of_a_terrace(assets: Path) -> None:
    footage = source(assets / "footage" / "terrace-north.mp4")
    assert [frame.at_ms for frame in footage.frames()] == [200 * n for n in range(300)]


@pytest.mark.parametrize("name", ["a.mp4", "d.avi"])
def test_yields_the_frames_of_a_video_that_breaks_off_and_then_raises(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / name, codec="mjpeg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    footage = source(path)
    footage.check()
    times, problem = times_until_the_end(footage)
    assert times == [200 * n for n in range(len(times))]
    assert 10 <= len(times) <= 18
    assert str(path) in problem
    assert "breaks off after" in problem
    assert "\n" not in problem


def test_yields_the_frames_before_the_damage_and_then_raises(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    times, problem = times_until_the_end(source(path))
    assert times == [200 * n for n in range(len(times))]
    assert len(times) > 5
    assert "breaks off after" in problem


def test_recording_that_begins_between_two_key_frames_starts_at_the_first_decodable_frame(tmp_path: Path) -> None:
    path = film(tmp_path / "c.ts")
    path.write_bytes(path.read_bytes()[188 * 60 :])
    times, problem = times_until_the_end(source(path))
    assert times[:3] == [0, 200, 400]
    assert len(times) > 10
    assert problem == ""


def sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def playlist(path: Path) -> Path:
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    return path


def of_unknown_kind(path: Path) -> Path:
    return written(path, film(path).read_bytes().replace(b"avc1", b"zzzz"))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: written(folder / "empty.mp4", b""), "cannot be read as a video"),
        (lambda folder: written(folder / "text.mp4", b"hello\n" * 100), "cannot be read as a video"),
        (lambda folder: written(folder / "half.mp4", film(folder / "a.mp4").read_bytes()[:300]), "cannot be read"),
        (lambda folder: film(folder / "none.mkv", frames=0), "it is empty|without a single frame"),
        (lambda folder: film(folder / "none.mp4", frames=0), "holds no video|without a single frame"),
        (lambda folder: sound_only(folder / "sound.wav"), "holds no video"),
        (lambda folder: of_unknown_kind(folder / "new.mp4"), "of a kind that cannot be decoded"),
        (lambda folder: playlist(folder / "list.m3u8"), "cannot be read as a video"),
    ],
)
def test_refuses_a_file_without_a_frame_in_one_line(tmp_path: Path, make: object, says: str) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(SourceError, match=says) as caught:
        source(path).check()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_a_video_with_too_large_frames_before_decoding_it(tmp_path: Path) -> None:
    path = film(tmp_path / "large.mp4", frames=1, size=(640, 480))
    with pytest.raises(SourceError, match=r"640x480 pixels is larger than the 0\.3 megapixels"):
        source(path, IngestSettings(max_frame_megapixels=0.3)).check()


def test_decoders_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = film(tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    capfd.readouterr()  # drop what the encoder printed while the test wrote the file
    times_until_the_end(source(path))
    assert capfd.readouterr() == ("", "")
