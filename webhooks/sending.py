"""One attempt: sign a body and post it to one address, within its time."""

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from standardwebhooks import Webhook

from crowdmood import __version__
from webhooks.adapters.body import Body
from webhooks.addresses import Network, RefusedAddressError, parse, resolve
from webhooks.deliveries import GIVE_UP_AFTER_S, Attempt

CONNECT_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 15.0
_LOOKUPS_AT_ONCE = 256


def signed_headers(secrets: Sequence[str], webhook_id: str, now_s: int, content: bytes) -> dict[str, str]:
    """Return the three headers of the specification.

    Args:
        secrets: Every secret that signs now; several while one is rotated.
        webhook_id: The delivery's id, the same on every retry.
        now_s: Time of this attempt in seconds since 1970-01-01 UTC.
        content: The bytes that are sent.
    """
    at, text = datetime.fromtimestamp(now_s, UTC), content.decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": " ".join(Webhook(secret).sign(webhook_id, at, text) for secret in secrets),
    }


class Sender:
    """Posts bodies, each over its own connection to an address that was checked.

    Args:
        allowed: Networks that deliveries may go to although they are not public.
        clock: Wall-clock time in seconds since 1970-01-01 UTC.
    """

    def __init__(self, allowed: Sequence[Network], clock: Callable[[], float] = time.time) -> None:
        self._allowed = allowed
        self._clock = clock
        # Separate threads, so that a name server that does not answer blocks nothing else.
        self._lookups = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, "lookup")
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(TOTAL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            follow_redirects=False,
            # No proxy from the environment: it would resolve the name again, unchecked.
            trust_env=False,
            # A kept connection is reused by address alone, also for another host's name at that address.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            verify=httpx.create_ssl_context(),
        )

    async def send(self, url: str, body: Body, secrets: Sequence[str], webhook_id: str) -> Attempt:
        """Post a body once.

        Args:
            url: The endpoint's URL.
            body: The body.
            secrets: The signing secrets.
            webhook_id: The delivery's id.
        """
        at_s, started = self._clock(), time.monotonic()
        status_code, retry_after_s = None, None
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                headers = signed_headers(secrets, webhook_id, int(at_s), body.content)
                status_code, answered = await self._post(url, body, headers)
            error = None if 200 <= status_code < 300 else _meaning(status_code)
            retry_after_s = None if error is None else retry_after(answered.get("retry-after"), at_s)
        except RefusedAddressError as refusal:
            error = str(refusal)
        except (TimeoutError, httpx.TimeoutException) as late:
            connecting = isinstance(late, httpx.ConnectTimeout)
            error = f"no {'connection' if connecting else 'answer'} within {_limit_s(connecting):g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failure:
            error = f"{type(failure).__name__}: {failure}"[:200]
        took_ms = round((time.monotonic() - started) * 1000)
        return Attempt(round(at_s * 1000), took_ms, status_code, error, retry_after_s)

    async def _post(self, url: str, body: Body, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
        parts = parse(url)
        address = await resolve(parts, self._allowed, self._lookups)
        host = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)
        request = self._client.build_request(
            "POST",
            httpx.URL(url).copy_with(host=host),
            content=body.content,
            headers={
                **headers,
                "host": parts.netloc,
                "content-type": body.content_type,
                "user-agent": f"CrowdMood/{__version__}",
            },
            # Check the certificate for the name, although the connection goes to the address.
            extensions={"sni_hostname": parts.hostname},
        )
        response = await self._client.send(request, stream=True)
        try:
            return response.status_code, response.headers
        finally:
            # The body of the response is not needed and not read.
            await response.aclose()

    async def close(self) -> None:
        """Close the sockets."""
        self._lookups.shutdown(wait=False, cancel_futures=True)
        await self._client.aclose()


def retry_after(value: str | None, now_s: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks us to wait, at most a day; None without a valid one.

    Args:
        value: Seconds, or a date (RFC 9110, 10.2.3).
        now_s: Wall-clock time in seconds since 1970-01-01 UTC.
    """
    if value is None:
        return None
    wait_s: float | None = None
    if value.strip().isascii() and value.strip().isdigit():
        wait_s = float(value)
    else:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            wait_s = parsedate_to_datetime(value).timestamp() - now_s
    return None if wait_s is None else min(max(wait_s, 0.0), GIVE_UP_AFTER_S)


def _meaning(status_code: int) -> str:
    if 300 <= status_code < 400:
        return f"HTTP {status_code}: redirects are not followed, register the address it redirects to"
    return f"HTTP {status_code}"


def _limit_s(connecting: bool) -> float:
    return CONNECT_TIMEOUT_S if connecting else TOTAL_TIMEOUT_S
