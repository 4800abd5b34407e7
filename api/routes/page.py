"""The control room: serves the files of `api/page/`, and Plotly's script for charts from its Python package.

The files contain no data and need no key; the page requests its data from the API, like any client.
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
"""Nothing inline, nothing from other origins. Plotly draws PNG files from `data:`; previews are `blob:` in memory."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file, plain and compressed with gzip."""

    body: bytes
    packed: bytes
    media_type: str
    etag: str


@router.get("/")
def index(
    if_none_match: Annotated[str | None, Header()] = None, accept_encoding: Annotated[str, Header()] = ""
) -> Response:
    """Return the page."""
    return _sent(_read("index.html"), if_none_match, accept_encoding)


@router.get("/page/{name}")
def file(
    name: str,
    if_none_match: Annotated[str | None, Header()] = None,
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    """Return a file of the page."""
    if name not in _names():
        raise HTTPException(404)
    return _sent(_read(name), if_none_match, accept_encoding)


def _sent(found: _File, if_none_match: str | None, accept_encoding: str) -> Response:
    # `no-cache`: browsers check the ETag on each request, so that a page never mixes files of two versions.
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
