"""The control room's files as they are served, and what the page asks that no other test does: display and keys."""

import gzip
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.metadata import distribution
from pathlib import Path

import httpx
import pytest

import api.routes.page
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.domain.mood import to_ms
from crowdmood.domain.palette import LABEL_COLOURS, STACKED
from crowdmood.store.api_keys import ApiKey, ApiKeyStore
from tests.serving import Running, running

FOLDER = Path(api.routes.page.__file__).parents[1] / "page"
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob: data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    shown = {"creatives": {"happy": "goal!"}, "default_creative": "logo", "port": 0}
    cameras = [{"id": "north", "uri": "north.mp4"}]
    zones = {"home": ["north"]}
    return load(state_url=server_url, bus=bus_settings.model_dump(), api=shown, cameras=cameras, zones=zones)


@pytest.fixture
def served(settings: Settings) -> Iterator[Running]:
    with running(settings) as served:
        served.eventually("/mood", lambda answer: answer.status_code == 200)
        yield served


class _Page(HTMLParser):
    """What a page loads, and what of it stands inline."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: set[str] = set()
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.inline.append(tag)
        if tag in ("link", "script", "img"):
            self.loaded.add(given.get("src") or given.get("href") or "")


def test_everything_the_page_is_made_of_comes_from_here_and_nothing_stands_inline(served: Running) -> None:
    page = served.get("/")
    assert page.status_code == 200
    found = _Page(page.text)
    assert found.inline == []
    files = {path.name for path in FOLDER.iterdir()} - {"index.html"}
    assert found.loaded == {"page/app.js", "page/icon.svg", "page/style.css"}
    imported = {name for path in FOLDER.glob("*.js") for name in re.findall(r'from "\./(.+)"', path.read_text())}
    assert imported | {path.rpartition("/")[2] for path in found.loaded} == files
    for name in sorted(files | {"plotly.min.js"}):
        answer = served.get(f"/page/{name}")
        assert answer.status_code == 200
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        if name != "plotly.min.js":
            assert not re.search(
                r"(https?:)?//(?!www\.w3\.org/2000/svg)\w+\.\w", re.sub(r"//boards\.example", "", answer.text)
            ), name


def test_charts_come_from_the_installed_package_packed_and_once(served: Running) -> None:
    url = f"{served.url}/page/plotly.min.js"
    installed = Path(str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js"))).read_bytes()
    with httpx.stream("GET", url, headers={"Accept-Encoding": "gzip"}, timeout=30) as answer:
        packed = b"".join(answer.iter_raw())
    assert gzip.decompress(packed) == installed
    assert len(packed) < len(installed) / 2
    assert httpx.get(url, headers={"Accept-Encoding": "identity"}, timeout=30).content == installed
    again = httpx.get(url, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/page/", "/page/nothing.js", "/page/..%2Fapp.py", "/page/%2e%2e/app.py"])
def test_no_other_file_can_be_had(served: Running, path: str) -> None:
    assert served.get(path).status_code == 404


def test_display_returns_what_to_show(served: Running) -> None:
    assert served.get("/display").json() == {
        "zones": {"stadium": ["north"], "home": ["north"]},
        "creatives": {"happy": "goal!"},
        "default_creative": "logo",
        "colours": LABEL_COLOURS,
        "stacked": list(STACKED),
        "stale_after_s": 10.0,
        "preview": "off",
        "photos": {"on": False, "megapixels": 4.0, "per_minute": 30},
    }


def test_keys_are_made_listed_and_revoked(served: Running, settings: Settings, server_url: str) -> None:
    assert served.get("/keys").json() == []
    made = httpx.post(f"{served.url}/keys", json={"name": "wall", "scopes": ["manage"], "days": 2}).json()
    assert to_ms(made["expires_at"]) - to_ms(made["created_at"]) == 2 * 86_400_000
    # The first key shuts an API that was open.
    served.eventually("/keys", lambda answer: answer.status_code == 401)
    manager = made.pop("key")
    assert served.get("/keys", manager).json() == [made]
    assert manager.split("_")[2] not in served.get("/keys", manager).text

    as_manager = {"Authorization": f"Bearer {manager}"}
    board = httpx.post(f"{served.url}/keys", json={"name": "board"}, headers=as_manager).json()
    served.eventually("/mood", lambda answer: answer.status_code == 200, board["key"])
    assert served.get("/keys", board["key"]).status_code == 403
    assert served.get("/display").status_code == 401

    revoked = httpx.delete(f"{served.url}/keys/{board['id']}", headers=as_manager)
    assert revoked.status_code == 204
    served.eventually("/mood", lambda answer: answer.status_code == 401, board["key"])
    assert [key["state"] for key in served.get("/keys", manager).json()] == ["active", "revoked"]
    unknown = httpx.delete(f"{served.url}/keys/none", headers=as_manager)
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/unknown-key")


def test_the_page_needs_no_key_and_its_data_do(settings: Settings, server_url: str) -> None:
    store = ApiKeyStore(server_url, settings.bus.key_prefix)
    store.add(ApiKey.make("test", "read", round(time.time() * 1000), None)[1])
    store.close()
    with running(settings) as served:
        served.eventually("/display", lambda answer: answer.status_code == 401)
        assert served.get("/").status_code == 200
        assert served.get("/page/app.js").status_code == 200
