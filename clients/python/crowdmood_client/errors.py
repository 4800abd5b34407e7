"""The errors of the client: all of them are a `ClientError`."""

from __future__ import annotations

RETRYABLE = frozenset({408, 425, 429, 502, 503, 504})
"""HTTP statuses after which the same request may succeed."""


class ClientError(Exception):
    """The API refused a request, gave an unusable answer, or did not answer.

    Attributes:
        status: The HTTP status; None without a usable answer.
        type: Stable type of the problem, such as `/problems/unknown-camera`; `about:blank` when it has none.
        retry_after_s: Seconds after which the API asks to retry; None when it does not say.
    """

    def __init__(
        self, text: str, status: int | None = None, type_: str = "about:blank", retry_after_s: float | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.type = type_
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later without anyone changing it."""
        return self.status in RETRYABLE


class UnreachableError(ClientError):
    """No answer arrived: the API is down, the network is, or the connection broke."""

    @property
    def retryable(self) -> bool:
        """Always true: the API may be reachable again."""
        return True


class KeyRefusedError(ClientError):
    """The API refused the key: it is missing, wrong, revoked or expired, or its scope does not allow the request."""
