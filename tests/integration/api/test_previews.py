"""Previews: who may see them, that no one can be recognised, and that nothing is kept."""

import io
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr

from api.routes import previews
from crowdmood.bus.streams import Bus
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Emotions, Frame, FrameRef
from crowdmood.store.api_keys import ApiKey, ApiKeyStore
from tests.passing_frames import FACE, SIZE, going_by, noise, picture_of, settings_for
from tests.serving import running


def detail(image: Image.Image, box: tuple[int, int, int, int]) -> float:
    """How much neighbouring pixels differ inside a box: those of blocks hardly do."""
    pixels = np.asarray(image.convert("L").crop(box), np.float64)
    return float(np.median(np.abs(np.diff(pixels, axis=1))))


def test_previews_are_off_by_default(server_url: str, bus_settings: BusSettings) -> None:
    with running(settings_for(server_url, bus_settings)) as api:
        answer = api.eventually("/cameras/north/preview", lambda answer: answer.status_code != 503)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/preview-off")


@pytest.mark.parametrize("faces", ["pixelated", "clear"])
def test_faces_and_masked_people_are_hidden_unless_they_may_be_shown(
    server_url: str, bus_settings: BusSettings, faces: str
) -> None:
    settings = settings_for(server_url, bus_settings, preview=True, preview_faces=faces)
    with going_by(server_url, bus_settings), running(settings) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200)
        image = picture_of(api)
        assert image.size == SIZE
        left, top, right, bottom = FACE
        face, masked = (left + 30, top + 30, right - 10, bottom - 10), (450, 300, 630, 470)
        missed = (20, 300, 200, 470)  # no face was found there, although there may be one
        whole = detail(noise(), missed)
        for hidden in (face, masked, missed):
            assert (detail(image, hidden) > whole / 2) is (faces == "clear")
        frame = np.asarray(image.convert("RGB"), np.int32)[top + 40, left - 1 : left + 3]
        assert np.abs(frame - np.array([0, 0xFF, 0xFF])).sum(axis=1).min() < 150  # whatever it shows


def test_only_a_key_that_may_manage_sees_previews_and_nothing_is_kept(
    server_url: str, bus_settings: BusSettings, tmp_path: Path
) -> None:
    made = {}
    with closing(ApiKeyStore(server_url, bus_settings.key_prefix)) as keys:
        for scope in ("read", "manage"):
            made[scope], key = ApiKey.make(scope, scope, round(time.time() * 1000), None)
            keys.add(key)
    with going_by(server_url, bus_settings), running(settings_for(server_url, bus_settings, preview=True)) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200, made["read"])
        assert api.get("/cameras/north/preview").status_code == 401
        assert api.get("/cameras/north/preview", made["read"]).status_code == 403
        assert api.get("/cameras/north/regions", made["read"]).status_code == 403
        assert picture_of(api, made["manage"]).size == SIZE
        assert api.get("/cameras/south/preview", made["manage"]).json()["type"] == "/problems/unknown-camera"
    assert list(tmp_path.rglob("*")) == []
    with closing(Bus(server_url, bus_settings)) as bus:
        left = [key.decode() for key in bus.connection.client.scan_iter(match=f"{bus.keys.prefix}:*")]
        assert [key for key in left if "{state}" not in key] == []


def test_where_frames_wait_for_detectors_the_one_whose_turn_is_next_is_shown(
    server_url: str, bus_settings: BusSettings
) -> None:
    out = io.BytesIO()
    noise().save(out, "JPEG")
    none = np.empty(0, np.float16)
    nothing = np.empty((0, 4), np.int32), np.empty((0, 8), np.float16), none, none
    refs = [FrameRef("north", "live", frame_id, 0, *SIZE, recorded=True) for frame_id in range(3)]
    with closing(Bus(server_url, bus_settings)) as bus:
        bus.publish(("frames", Frame(ref, out.getvalue())) for ref in refs)
        bus.publish([("emotions", Emotions(refs[0], *nothing, "net", "haar"))])  # the others wait, and no more come
    with running(settings_for(server_url, bus_settings, preview=True)) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200)
        assert picture_of(api).size == SIZE


def test_without_a_frame_or_the_right_to_read_it_the_answer_says_so(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "WITHIN_S", 0.5)
    with running(settings_for(server_url, bus_settings, preview=True)) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200)
        answer = api.get("/cameras/north/preview")
        assert (answer.status_code, answer.json()["detail"]) == (503, "no frame of north arrived within 0.5 s")
    with closing(Bus(server_url, bus_settings)) as bus:
        rules = ["on", ">word", "+@all", "~*{state}*", "%W~*{p*}:frames"]
        bus.connection.client.execute_command("ACL", "SETUSER", "writes-frames", "reset", *rules)
    limited = server_url.replace("unix://", "unix://writes-frames:word@")
    settings = settings_for(server_url, bus_settings, preview=True)
    with running(settings.model_copy(update={"bus_url": SecretStr(limited)})) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200)
        assert "the API may not read frames on the bus" in api.get("/cameras/north/preview").json()["detail"]
