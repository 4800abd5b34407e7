"""Settings come from one place, say what is wrong with them, and keep secrets."""

import json
from pathlib import Path

import pytest

from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import CameraSettings, Group, Settings, load, required_url, to_environment


def every_field() -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Group):
            found += [(f"{name}.{inner}", inner_field) for inner, inner_field in group.model_fields.items()]
        else:
            found.append((name, field))
    return found


@pytest.mark.parametrize(("name", "field"), every_field(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_setting_is_described(name: str, field: object) -> None:
    assert getattr(field, "description", None), f"{name} has no description"


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "crowdmood.toml").write_text(
        '[ingest]\nsample_fps = 1.0\njpeg_quality = 70\nspeed = 2.0\n[[cameras]]\nid = "north"\nuri = "north.mp4"\n'
    )
    monkeypatch.setenv("CROWDMOOD_INGEST__SAMPLE_FPS", "3")
    monkeypatch.setenv("CROWDMOOD_INGEST__SPEED", "4")
    settings = load(ingest={"speed": "max"})
    assert settings.ingest.speed == "max"
    assert settings.ingest.sample_fps == 3
    assert settings.ingest.jpeg_quality == 70
    assert [camera.id for camera in settings.cameras] == ["north"]


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("CROWDMOOD_INGEST__SPEED", "-1", "CROWDMOOD_INGEST__SPEED"),
        ("CROWDMOOD_INGEST__SPEED", "fast", "CROWDMOOD_INGEST__SPEED"),
        ("CROWDMOOD_API__PORT", "99999", "less than or equal to 65535"),
        ("CROWDMOOD_DETECTOR__COLOUR", "red", "CROWDMOOD_DETECTOR__COLOUR"),
        ("CROWDMOOD_CAMERAS", "[{", "cameras"),
        ("CROWDMOOD_CAMERAS", '[{"id": "A b", "uri": "x"}]', "CROWDMOOD_CAMERAS__0__ID"),
        ("CROWDMOOD_CAMERAS", '[{"id": "a", "uri": "x"}, {"id": "a", "uri": "y"}]', "used twice: a"),
        ("CROWDMOOD_AGGREGATOR__HOP_S", "12", "CROWDMOOD_AGGREGATOR: hop_s is 12 and window_s 10"),
        ("CROWDMOOD_AGGREGATOR__MIN_FACES", "9", "min_faces is 9: .* or set expose_individuals"),
        ("CROWDMOOD_CONFIG", "missing.toml", "missing.toml, which is not a file"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, text: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=text) as caught:
        load()
    assert "\n" not in str(caught.value)


def test_few_people_are_published_only_where_individuals_may_be_exposed() -> None:
    assert load(aggregator={"min_faces": 10}).aggregator.min_faces == 10
    assert load(aggregator={"min_faces": 1, "expose_individuals": True}).aggregator.min_faces == 1


def test_no_error_shows_a_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROWDMOOD_CAMERAS", '[{"id": "a", "url": "rtsp://me:hunter2@camera/1"}]')
    with pytest.raises(SettingsError) as caught:
        load()
    assert "hunter2" not in str(caught.value)


def test_a_child_process_loads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        bus_url="redis://:secret@host:1/0",
        cameras=[{"id": "north", "uri": "rtsp://me:hunter2@camera/1"}],
        ingest={"speed": "max"},
        classifier={"model": "some/folder"},
    )
    for variable, value in to_environment(settings).items():
        monkeypatch.setenv(variable, value)
    assert load() == settings
    assert "hunter2" not in repr(settings)
    assert "secret@" not in repr(settings)


@pytest.mark.parametrize(
    ("proxies", "problem"),
    [
        (["*"], "'\\*' is not the address or network of a proxy"),
        (["proxy.example"], "'proxy.example' is not the address or network of a proxy"),
        (["10.0.0.5:80"], "'10.0.0.5:80' is not the address or network of a proxy"),
        (["10.0.0.1/8"], "'10.0.0.1/8' is not the address or network of a proxy"),
        (["127.0.0.1", ""], "'' is not the address or network of a proxy"),
        (["0.0.0.0/0"], "0.0.0.0/0 would trust every client's headers"),
        (["::/0"], "::/0 would trust every client's headers"),
    ],
)
def test_refuses_proxies_that_are_no_addresses(proxies: list[str], problem: str) -> None:
    with pytest.raises(SettingsError, match=f"CROWDMOOD_API__TRUSTED_PROXIES.*{problem}"):
        load(api={"trusted_proxies": proxies})


def test_accepts_addresses_and_networks_of_proxies() -> None:
    proxies = ("127.0.0.1", "10.0.0.0/24", "::1", "2001:db8::/48")
    assert load(api={"trusted_proxies": proxies}).api.trusted_proxies == proxies


def test_an_address_is_that_of_its_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROWDMOOD_CAMERAS", '[{"id": "north"}, {"id": "south"}, {"id": "goal", "uri": "goal.mp4"}]')
    addresses = {"north": "rtsp://camera/1", "south": {"uri": "rtsp://camera/2", "user": "me", "password": "p@ss"}}
    monkeypatch.setenv("CROWDMOOD_CAMERA_ADDRESSES", json.dumps(addresses))
    north, south, goal = load().cameras
    assert (north.uri.get_secret_value(), north.user, north.recorded) == ("rtsp://camera/1", "", False)
    assert (south.uri.get_secret_value(), south.user) == ("rtsp://camera/2", "me")
    assert south.password.get_secret_value() == "p@ss"
    assert goal.recorded


@pytest.mark.parametrize(
    ("addresses", "problem"),
    [
        ('{"south": "rtsp://me:hunter2@camera/1"}', "names south, which is not the id of a camera"),
        ('{"goal": "rtsp://me:hunter2@camera/1"}', "camera goal has an address in cameras and one in camera_addresses"),
        ('{"north": "hunter2.mp4"}', "the address of camera north in camera_addresses is not that of a live camera"),
        ('{"north": ""}', "the address of camera north in camera_addresses is not that of a live camera"),
        ('{"north": {"url": "rtsp://me:hunter2@camera/1"}}', "CROWDMOOD_CAMERA_ADDRESSES__NORTH__URL"),
        ('{"north": 7}', "CROWDMOOD_CAMERA_ADDRESSES__NORTH"),
    ],
)
def test_refuses_an_address_that_no_live_camera_needs(
    monkeypatch: pytest.MonkeyPatch, addresses: str, problem: str
) -> None:
    monkeypatch.setenv("CROWDMOOD_CAMERAS", '[{"id": "north"}, {"id": "goal", "uri": "goal.mp4"}]')
    monkeypatch.setenv("CROWDMOOD_CAMERA_ADDRESSES", addresses)
    with pytest.raises(SettingsError, match=problem) as caught:
        load()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("uri", ["rtsp://me:hunter2@camera/1", "webcam:0", "ftp://me:hunter2@camera/match.mp4"])
def test_without_an_address_a_camera_has_no_user_and_no_password(uri: str) -> None:
    camera = CameraSettings.model_validate({"id": "a", "uri": uri, "user": "me", "password": "hunter2"})
    assert camera.with_address(None) == CameraSettings(id="a")


def test_without_an_address_footage_is_still_recorded() -> None:
    camera = CameraSettings.model_validate({"id": "a", "uri": "match.mp4", "password": "hunter2"})
    bare = camera.with_address(None)
    assert bare.recorded
    assert bare.password.get_secret_value() == ""


@pytest.mark.parametrize(
    ("uri", "recorded"),
    [
        ("match.mp4", True),
        ("/footage/match 1.mp4", True),
        ("frames/", True),
        ("rtsp://camera/1", False),
        ("https://camera/video", False),
        ("webcam:0", False),
        ("", False),
    ],
)
def test_footage_is_distinguished_from_a_live_camera_by_its_address(uri: str, recorded: bool) -> None:
    assert CameraSettings.model_validate({"id": "a", "uri": uri}).recorded is recorded


def test_without_an_address_a_stage_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="CROWDMOOD_BUS_URL is not set"):
        required_url(None, "bus")


def test_cameras_and_their_addresses_may_be_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cameras").write_text('[{"id": "north"}, {"id": "south"}]')
    (tmp_path / "addresses").write_text('{"north": "rtsp://camera/1", "south": "rtsp://camera/2"}')
    monkeypatch.setenv("CROWDMOOD_CAMERAS_FILE", str(tmp_path / "cameras"))
    monkeypatch.setenv("CROWDMOOD_CAMERA_ADDRESSES_FILE", str(tmp_path / "addresses"))
    assert [camera.uri.get_secret_value() for camera in load().cameras] == ["rtsp://camera/1", "rtsp://camera/2"]
    monkeypatch.setenv("CROWDMOOD_CAMERAS", "[]")
    with pytest.raises(SettingsError, match="CROWDMOOD_CAMERAS_FILE and CROWDMOOD_CAMERAS are both set: keep one"):
        load()
    monkeypatch.delenv("CROWDMOOD_CAMERAS")
    (tmp_path / "cameras").write_text("[{")
    with pytest.raises(SettingsError, match=r"CROWDMOOD_CAMERAS_FILE: .*cameras is not a readable JSON file"):
        load()
