"""The same scene, written by several codecs, as broadcasters and recorders write it, has the same mood."""

import json
import subprocess
from pathlib import Path

import pytest

from crowdmood.domain.labels import LABELS

from .conftest import crowdmood

START_S, LENGTH_S = 24, 12
"""Within the second phase of the clip, in which most people sing: a window and two hops."""

X264 = ["-c:v", "libx264", "-crf", "18", "-preset", "fast"]
WRITTEN = {
    "h264.mp4": X264,
    "hevc-10-bit.mkv": ["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-crf", "20", "-x265-params", "log-level=error"],
    "prores.mov": ["-c:v", "prores_ks", "-profile:v", "2", "-pix_fmt", "yuv422p10le"],
    "mjpeg-fine.avi": ["-c:v", "mjpeg", "-q:v", "3"],
    "mjpeg-coarse.avi": ["-c:v", "mjpeg", "-q:v", "9"],
    "anamorphic.mp4": ["-vf", "scale=960:720,setsar=4/3", *X264],
    "interlaced.ts": [
        *["-vf", "fps=10,tinterlace=interleave_top,fieldorder=tff", "-flags", "+ilme+ildct"],
        *[*X264, "-x264opts", "tff=1"],
    ],
    "double.mp4": ["-vf", "scale=2560:1440:flags=bicubic", *X264],
}

LARGEST_DIFFERENCE = 0.05


@pytest.fixture(scope="module")
def shares(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """The mean shares of the moods of each file, by file."""
    folder = tmp_path_factory.mktemp("scene")
    clip = str(assets / "footage" / "stand.mp4")
    for name, words in WRITTEN.items():
        part = ["-ss", str(START_S), "-t", str(LENGTH_S), "-i", clip]
        subprocess.run(
            ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *part, "-an", *words, str(folder / name)], check=True
        )
    done = crowdmood(
        *["replay", "--speed", "max", "--moods", folder / "moods.jsonl", *(folder / name for name in WRITTEN)],
        CROWDMOOD_AGGREGATOR__EXPOSE_INDIVIDUALS="true",  # figures of each window, not held ones
        CROWDMOOD_DETECTOR__KIND="yunet",
        CROWDMOOD_DETECTOR__YUNET_MODEL=str(assets / "models" / "face_detection_yunet_2023mar.onnx"),
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, float]]] = {}
    for line in (folder / "moods.jsonl").read_text().splitlines():
        mood = json.loads(line)
        if mood["camera"] is not None and mood["shares"] is not None:
            found.setdefault(mood["camera"], []).append(mood["shares"])
    return {
        camera: {label: sum(one[label] for one in all_) / len(all_) for label in LABELS}
        for camera, all_ in found.items()
    }


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "h264.mp4"])
def test_a_scene_has_the_same_shares_however_it_was_written(shares: dict[str, dict[str, float]], name: str) -> None:
    usual, other = shares["h264"], shares[name.partition(".")[0]]
    assert max(abs(other[label] - usual[label]) for label in LABELS) <= LARGEST_DIFFERENCE
