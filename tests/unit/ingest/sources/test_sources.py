"""The source of a camera's address; a malformed address is refused without showing it."""

import pytest

from crowdmood.core.errors import SourceError
from crowdmood.core.settings import CameraSettings, IngestSettings
from ingest.sources import live_source, recorded_source
from ingest.sources.stream import NetworkCamera, Webcam, webcam_address

SETTINGS = IngestSettings()


def camera(uri: str) -> CameraSettings:
    return CameraSettings.model_validate({"id": "north", "uri": uri})


@pytest.mark.parametrize("uri", ["ftp://eye:secret@host/x", "s3://bucket/secret", "data:secret"])
def test_refuses_an_unknown_scheme_and_names_those_that_are_supported(uri: str) -> None:
    with pytest.raises(SourceError, match=r"camera north: .* not supported; use a video file, .* webcam:0") as caught:
        recorded_source(camera(uri), SETTINGS)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("uri", ["/nowhere/match.mp4", "nowhere.mp4", "file:///nowhere/match.mp4"])
def test_refuses_footage_that_does_not_exist(uri: str) -> None:
    with pytest.raises(SourceError, match=r"camera north: .*nowhere.* neither a file nor a folder"):
        recorded_source(camera(uri), SETTINGS)


@pytest.mark.parametrize("uri", ["rtsp:secret@cam", "rtsp://", "http://eye:secret@[::1/x", "https:///secret"])
def test_refuses_a_malformed_address_without_showing_it(uri: str) -> None:
    with pytest.raises(SourceError, match="malformed") as caught:
        live_source(camera(uri), SETTINGS)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["rtsp://cam/1", "RTSPS://eye:secret@cam:554/1", "http://[::1]:8080/x", "https://cam/"])
def test_network_scheme_gives_a_network_camera(uri: str) -> None:
    assert isinstance(live_source(camera(uri), SETTINGS), NetworkCamera)


def test_webcam_scheme_gives_a_webcam() -> None:
    assert isinstance(live_source(camera("webcam:0"), SETTINGS), Webcam)
    with pytest.raises(SourceError, match="camera north: give the number of a webcam"):
        live_source(camera("webcam:front"), SETTINGS)


@pytest.mark.parametrize(
    ("device", "platform", "expected"),
    [
        ("0", "linux", ("v4l2", "/dev/video0")),
        ("1", "darwin", ("avfoundation", "1")),
        ("Integrated Camera", "win32", ("dshow", "video=Integrated Camera")),
    ],
)
def test_address_of_a_webcam_depends_on_the_system(device: str, platform: str, expected: tuple[str, str]) -> None:
    assert webcam_address(device, platform) == expected


@pytest.mark.parametrize(("device", "platform"), [("0", "win32"), ("../sda", "linux"), ("", "linux"), ("²", "darwin")])
def test_refuses_an_impossible_webcam(device: str, platform: str) -> None:
    with pytest.raises(SourceError, match="webcam"):
        webcam_address(device, platform)
