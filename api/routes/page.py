"""The control room: a page of the files beside `api/page/`, and charts by Plotly as its package brings it.

The files hold no data and need no key; what the page shows it asks the API for, as any client does.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Header, HTTPException, Response

router = APIRouter(include_in_schema=False)

_FOLDER: Final = Path(__file__).parents[1] / "page"
_CHARTS: Final = "plotly.min.js"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere. `data:` is what Plotly draws a PNG from, `blob:` a preview in memory."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is sent: as it is, and packed."""

    body: bytes
    packed: bytes
    media_type: str
    etag: str


@router.get("/")
def index(
    if_none_match: Annotated[str | None, Header()] = None, accept_encoding: Annotated[str, Header()] = ""
) -> Response:
    """The page."""
    return _sent(_read("index.html"), if_none_match, accept_encoding)


@router.get("/page/{name}")
def file(
    name: str,
    if_none_match: Annotated[str | None, Header()] = None,
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    """A file that the page is made of."""
    if name not in _names():
        raise HTTPException(404)
    return _sent(_read(name), if_none_match, accept_encoding)


def _sent(found: _File, if_none_match: str | None, accept_encoding: str) -> Response:
    # Asked for each time, and sent only when it is another one: a page never mixes two versions' files.
    headers = {"ETag": found.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    headers |= {"Content-Security-Policy": _POLICY, "Permissions-Policy": "camera=(self)"}
    if if_none_match == found.etag:
        return Response(status_code=304, headers=headers)
    packed = "gzip" in accept_encoding
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(found.packed if packed else found.body, headers=headers, media_type=found.media_type)


@lru_cache(1)
def _names() -> frozenset[str]:
    return frozenset({_CHARTS, *(path.name for path in _FOLDER.iterdir())})


@lru_cache(64)
def _read(name: str) -> _File:
    path = (
        _FOLDER / name
        if name != _CHARTS
        else Path(str(distribution("plotly").locate_file(f"plotly/package_data/{name}")))
    )
    body = path.read_bytes()
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    return _File(body, gzip.compress(body, 6, mtime=0), _TYPES[path.suffix], etag)
