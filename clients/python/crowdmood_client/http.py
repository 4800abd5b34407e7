"""What both clients ask of httpx in the same way."""

from __future__ import annotations

import httpx

from crowdmood_client.core import Request
from crowdmood_client.errors import UnreachableError

FAILURES = (httpx.HTTPError, httpx.InvalidURL)
"""What httpx raises when no answer arrives."""


def unreachable(http: httpx.Client | httpx.AsyncClient, error: Exception) -> UnreachableError:
    """Return the client's own error for one of httpx."""
    return UnreachableError(f"no answer from {http.base_url}: {str(error) or type(error).__name__}")


def address(url: str) -> httpx.URL:
    """Return the address of an API.

    Raises:
        ValueError: It is not an http or https address.
    """
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        found = httpx.URL()
    if found.scheme not in ("http", "https") or not found.host:
        raise ValueError(f"{url!r} is not the address of an API: write it as http://127.0.0.1:8000")
    return found


def built(http: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    """Return a request as httpx sends it."""
    timeout = httpx.Timeout(http.timeout)
    if request.read_timeout_s is not None:
        timeout.read = request.read_timeout_s
    return http.build_request(
        request.method,
        request.path,
        params=dict(request.query),
        headers=dict(request.headers),
        content=request.body,
        timeout=timeout,
    )
