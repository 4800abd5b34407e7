"""Addresses in disguise, names that lead out of folders, archives that unfold: each is refused by who reads it.

What users of the servers may not do, that redirects are not followed and which networks are private is tested beside
what it belongs to: tests/integration/deploy/test_acl.py and webhooks, tests/unit/webhooks/test_addresses.py.
"""

import hmac
import json
import socket
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app.footage import replay_settings
from classifier.card import CARD_FILE, load_card
from crowdmood.core.errors import DataError, ModelError
from crowdmood.store.api_keys import ApiKey
from detector.evaluation.labels import labelled_images
from tests.e2e.conftest import crowdmood
from training.crowds import labelled_photos
from training.loaders import load_faces
from webhooks.addresses import RefusedAddressError, parse, resolve_now


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",  # 127.0.0.1 as one number
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::1]",
        "[::ffff:7f00:1]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "localhost",
        "localhost.",
        "LOCALHOST",
    ],
)
def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises(RefusedAddressError):
        resolve_now(parse(f"https://{host}/hook"), [])


def test_a_name_that_changes_its_address_after_it_was_registered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: the resolver is the one thing here that no test owns."""
    answers = iter(["93.184.216.34", "127.0.0.1", "169.254.169.254"])

    def look_up(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 443))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    parts = parse("https://boards.example/hook")
    assert str(resolve_now(parts, [])) == "93.184.216.34"  # when it is registered; each attempt asks anew
    for _ in range(2):
        with pytest.raises(RefusedAddressError):
            resolve_now(parts, [])


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret"])
def test_no_name_in_a_file_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    crowds, model = tmp_path / "crowds", tmp_path / "model"
    (crowds / "images" / "a").mkdir(parents=True)
    model.mkdir()
    (crowds / "boxes.json").write_text(json.dumps({name: {"boxes_xywh": [[0, 0, 30, 30]]}}))
    with pytest.raises(DataError, match="outside"):
        labelled_images(crowds)
    with pytest.raises(DataError, match="outside"):
        list(labelled_photos(crowds, 12))
    shipped = Path(__file__).parents[2] / "classifier" / "models" / "crowdnet" / CARD_FILE
    card = json.loads(shipped.read_text())
    card["files"].append({"name": name, "sha256": "0" * 64, "size_bytes": 6})
    (model / CARD_FILE).write_text(json.dumps(card))
    for file in card["files"][:-1]:
        (model / file["name"]).write_bytes((shipped.parent / file["name"]).read_bytes())
    with pytest.raises(ModelError, match="points outside the folder"):
        load_card(model)


def test_a_command_that_is_led_out_of_a_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "boxes.json").write_text(json.dumps({"../../secret": {"boxes_xywh": []}}))
    done = crowdmood("evaluate-detector", tmp_path)
    assert done.returncode == 2
    assert "has labels but is outside" in done.stderr


@pytest.mark.parametrize("name", ["..", "../../x", "a b;rm -rf", "%2e%2e%2f", "..\\x", "'\"`$(id)"])
def test_footage_gives_its_camera_a_harmless_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / name.replace("/", "\u2215")
    if not file.is_dir():
        file.write_bytes(b"")
    (camera,) = replay_settings([file], None, tmp_path).cameras
    assert camera.id.replace("-", "").replace("_", "").isalnum()


def test_an_archive_that_would_fill_the_memory_is_refused_by_its_directory(tmp_path: Path) -> None:
    bomb = tmp_path / "faces.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as out:
        header = str({"descr": "|u1", "fortran_order": False, "shape": (130_000, 48, 48)}).encode().ljust(117) + b"\n"
        out.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        for _ in range(300):
            out.write(b"\0" * 1_000_000)
    assert bomb.stat().st_size < 1_000_000
    with pytest.raises(DataError, match="unpacks from"):
        load_faces(bomb)


def test_keys_are_compared_in_a_time_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared are digests under the key's own salt, by a function made for it."""
    text, key = ApiKey.make("board", "read", 0, None)
    compared: list[tuple[str, str]] = []
    real = hmac.compare_digest

    def spy(one: str, other: str) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    secret = text.split("_", 2)[2]
    assert [key.opens(tried, 0) for tried in (secret, secret[:-1], "", secret.swapcase())] == [
        True,
        False,
        False,
        False,
    ]
    assert len(compared) == 4
    assert {len(side) for pair in compared for side in pair} == {64}
    assert secret not in str(compared)
