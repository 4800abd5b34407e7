"""The control room in a real browser: what its tests stand on."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from playwright.sync_api import TimeoutError as TooLongError

from crowdmood.core.settings import STADIUM
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood
from tests import timelines

_FOLDER = os.environ.get("CROWDMOOD_TEST_PICTURES")
PICTURES = str(Path(_FOLDER).resolve()) if _FOLDER else None  # before a test changes the directory
"""Folder (`docs/pictures`) that screenshots for the documents are written to; without it, none are."""
WITHIN_MS = 60_000
"""Longest wait for anything that a page shows, where a test does not ask for less."""


@contextmanager
def browsing(executable: str, *arguments: str) -> Iterator[Browser]:
    """Debian's browser, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(arguments))
        try:
            yield browser
        finally:
            browser.close()


class Room:
    """A page of the control room that reports the errors of its browser."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(WITHIN_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._complain)
        page.on("request", lambda request: self.asked.append(request.url))

    def _complain(self, said: ConsoleMessage) -> None:
        # Plotly brings the style of maps, which are not used here: that it is refused shows the policy at work.
        of_maps = said.location["url"].endswith("/plotly.min.js") and "inline style" in said.text
        if said.type == "error" and not of_maps:
            self.complaints.append(said.text)

    def open(self, view: str = "live") -> "Room":
        self.page.goto(f"{self.url}/#{view}")
        return self

    def go(self, view: str) -> "Room":
        self.page.get_by_role("navigation").get_by_role("link", name=view).click()
        return self

    def use(self, key: str) -> None:
        """Give the page a key, as people do."""
        self.page.dispatch_event("#key-button", "click")  # the page may be asking for one at this very moment
        self.page.fill("#key-text", key)
        self.page.click("#key-dialog >> text=Use key")

    def shows(self, selector: str, text: str, within_ms: float = WITHIN_MS) -> None:
        """Return when an element holds this text."""
        try:
            self.page.wait_for_function(
                "([selector, text]) => document.querySelector(selector)?.textContent.includes(text)",
                arg=[selector, text],
                timeout=within_ms,
            )
        except TooLongError:
            raise AssertionError(f"{selector} shows {self.page.text_content(selector)!r}, not {text!r}") from None

    def picture(self, name: str) -> None:
        """Take a picture for the documents, when asked to; its name says whether it is PNG or JPEG."""
        if PICTURES:
            self.page.screenshot(path=str(Path(PICTURES) / f"control-room-{name}"))


@contextmanager
def room(browser: Browser, url: str, **options: Any) -> Iterator[Room]:
    """A page in a context of its own: nothing is kept from another test."""
    context = browser.new_context(**options)
    try:
        yield Room(context.new_page(), url)
    finally:
        context.close()


def match_mood(as_of_s: int, zone: str = STADIUM, camera: str | None = None, more: float = 0.0) -> Mood:
    """Return a mood of a match in which joy and singing come and go; `more`: joy that a camera sees beside that."""
    happy = 0.26 + 0.13 * math.tanh(4 * math.sin(as_of_s / 18 + 3)) + more
    rest = {"angry": 0.02, "disgust": 0.0, "fear": 0.01, "sad": 0.04 + 0.02 * math.sin(as_of_s / 11)}
    rest["surprise"] = 0.05 + 0.03 * math.sin(as_of_s / 7)
    rest["cheering"] = 0.2 + 0.1 * math.tanh(3 * math.sin(as_of_s / 18 + 2))
    shares = dict.fromkeys(LABELS, 0.0) | rest | {"happy": happy, "neutral": 1 - happy - sum(rest.values())}
    rounded = {label: round(share, 4) for label, share in shares.items()}
    return replace(
        timelines.mood(as_of_s, zone, camera),
        people=480 + as_of_s % 23,
        readable=400 + as_of_s % 19,
        shares=rounded,
        raw=rounded,
        low={label: round(max(0.0, share - 0.03), 4) for label, share in rounded.items()},
        high={label: round(share + 0.03, 4) for label, share in rounded.items()},
        dominant=max(rounded, key=lambda label: rounded[label]),
        valence=round(happy - sum(rest[label] for label in ("angry", "disgust", "fear", "sad")), 2),
        valence_low=round(happy - 0.13, 2),
        valence_high=round(happy - 0.01, 2),
        energy=round(rest["cheering"] + rest["surprise"], 2),
        energy_low=round(rest["cheering"] + rest["surprise"] - 0.04, 2),
        energy_high=round(rest["cheering"] + rest["surprise"] + 0.04, 2),
        fit=0.92,
    )


def camera_row(run_id: str = "replay-1", **known: object) -> dict[str, object]:
    """What the aggregator writes of a camera."""
    row = {"state": "live", "since_ms": 1_780_000_000_000, "source": "north.mp4", "recorded": True, "detail": ""}
    row |= {"run_id": run_id, "detector": "haar", "model": "crowdnet/openvino-bf16", "last_frame_at_ms": 60_000}
    return row | {"frames": 100, "faces": 4000, "lost": {}, "late": 0} | known
