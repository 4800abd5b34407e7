"""Recorded footage is read from real files: whole, damaged, empty, odd."""

import struct
from pathlib import Path

import av
import cv2
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
    """A video of noise, so that every frame has weight; the left half is dark."""
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
        for shot in footage.shots():
            shot.picture()
            times.append(shot.at_ms)
    except SourceError as error:
        return times, str(error)
    return times, ""


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("b.mkv", "libx264"), ("c.ts", "libx264"), ("d.avi", "mjpeg"), ("with: colon.mp4", "mjpeg")],
)
def test_a_video_gives_its_frames_by_their_presentation_times(tmp_path: Path, name: str, codec: str) -> None:
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
def test_a_recording_whose_clock_does_not_begin_at_zero_is_as_long_as_its_frames(
    tmp_path: Path, name: str, codec: str
) -> None:
    footage = source(film(tmp_path / name, codec=codec, start=50))
    assert footage.check() in range(24, 27)  # formats tell their length to a frame or two
    assert times_until_the_end(footage) == ([200 * n for n in range(25)], "")


def test_a_recording_that_begins_late_and_breaks_off_says_so(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", codec="mjpeg", start=50)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    times, problem = times_until_the_end(source(path))
    assert 10 <= len(times) <= 18
    assert "it claims to last 5.0 s" in problem


def test_a_video_keeps_size_and_content(tmp_path: Path) -> None:
    picture = next(source(film(tmp_path / "a.mp4", frames=3, size=(98, 66))).shots()).picture()
    gray = simplejpeg.decode_jpeg(picture.jpeg, "GRAY")
    assert (picture.width, picture.height) == (98, 66) == gray.shape[1::-1]
    assert gray[:, :45].mean() < 60 < 150 < gray[:, 53:].mean()


def test_a_gap_in_the_recording_is_a_gap_in_event_time(tmp_path: Path) -> None:
    times, _ = times_until_the_end(source(film(tmp_path / "gap.mkv", frames=20, skip=30)))
    assert times == [0, 200, 400, 600, 800, *(4000 + 200 * n for n in range(5))]


def test_a_video_that_was_filmed_sideways_is_turned_upright(tmp_path: Path) -> None:
    path = film(tmp_path / "phone.mp4", frames=3)
    data = bytearray(path.read_bytes())
    # The track header's matrix says "turn by 90 degrees clockwise to view", as a phone held upright writes it.
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    picture = next(source(path).shots()).picture()
    gray = simplejpeg.decode_jpeg(picture.jpeg, "GRAY")
    assert (picture.width, picture.height) == (48, 64)
    assert gray[:30].mean() < 60 < 150 < gray[34:].mean()  # the dark left side is on top now


def test_the_terraces_give_every_one_of_their_frames(assets: Path) -> None:
    footage = source(assets / "footage" / "terrace-north.mp4")
    assert [shot.at_ms for shot in footage.shots()] == [200 * n for n in range(300)]


@pytest.mark.parametrize("name", ["a.mp4", "b.mkv", "d.avi"])
def test_a_video_that_breaks_off_gives_what_it_has_and_then_says_so(tmp_path: Path, name: str) -> None:
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


def test_a_video_damaged_in_the_middle_gives_what_comes_before_and_then_says_so(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    times, problem = times_until_the_end(source(path))
    assert times == [200 * n for n in range(len(times))]
    assert len(times) > 5
    assert "breaks off after" in problem


def test_a_recording_that_begins_between_two_key_frames_is_read_from_the_first_that_can_be(tmp_path: Path) -> None:
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
        (lambda folder: film(folder / "none.mkv", frames=0), "there is nothing in it|without a single frame"),
        (lambda folder: film(folder / "none.mp4", frames=0), "holds no video|without a single frame"),
        (lambda folder: sound_only(folder / "sound.wav"), "holds no video"),
        (lambda folder: of_unknown_kind(folder / "new.mp4"), "of a kind that cannot be decoded"),
        (lambda folder: playlist(folder / "list.m3u8"), "cannot be read as a video"),
    ],
)
def test_a_file_without_a_frame_is_refused_in_one_line(tmp_path: Path, make: object, says: str) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(SourceError, match=says) as caught:
        source(path).check()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_video_with_too_large_frames_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = film(tmp_path / "large.mp4", frames=1, size=(640, 480))
    with pytest.raises(SourceError, match=r"640x480 pixels is larger than the 0\.3 megapixels"):
        source(path, IngestSettings(max_frame_megapixels=0.3)).check()


def test_nothing_of_what_the_decoders_say_reaches_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = film(tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    capfd.readouterr()  # what the encoder said while the test made the file
    times_until_the_end(source(path))
    assert capfd.readouterr() == ("", "")


def test_images_of_a_folder_come_in_the_order_of_their_names_at_the_sampling_rate(tmp_path: Path) -> None:
    for number, name in enumerate(["b.png", "a.jpg", "d.JPEG", "c.webp"]):
        cv2.imwrite(str(tmp_path / name), np.full((20 + number, 30, 3), 100, np.uint8))
    (tmp_path / "notes.txt").write_text("not an image")
    footage = source(tmp_path, IngestSettings(sample_fps=3))
    footage.check()
    shots = list(footage.shots())
    assert [shot.at_ms for shot in shots] == [0, 333, 667, 1000]
    assert [shot.picture().height for shot in shots] == [21, 20, 23, 22]


@pytest.mark.parametrize("names", [[], ["notes.txt", "footage.json"]])
def test_a_folder_without_an_image_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(SourceError, match="holds no image"):
        source(tmp_path).check()
