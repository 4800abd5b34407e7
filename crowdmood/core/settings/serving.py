"""The API, webhooks and the audit log."""

import socket
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from crowdmood.core.settings.base import Group

Leading: TypeAlias = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "cheering", "mixed"]
Creative: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]


class ApiSettings(Group):
    """How the API is served."""

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; an address that other machines can reach requires a key "
        "(`crowdmood keys create`).",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0: a free port.")
    stream_heartbeat_s: float = Field(
        default=15.0, gt=0, le=3600, description="Seconds without a message after which a stream sends a heartbeat."
    )
    stream_slow_after_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Seconds after which the API ends a stream whose client does not read its messages.",
    )
    ops_host: str = Field(default="127.0.0.1", description="Address of `ops_port`; requests there need no key.")
    ops_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Separate port for /metrics, /livez and /readyz; 0: they are served on `port`.",
    )
    requests_per_s: float = Field(
        default=100.0,
        ge=0,
        le=1_000_000,
        description="Requests per second that each key, and each address, may send to one API process once keys exist; "
        "a burst may have twice as many; 0: no limit.",
    )
    max_connections: int = Field(
        default=500,
        ge=0,
        le=1_000_000,
        description="Connections that each address may hold to one API process, and requests that each key and each "
        "client behind a trusted proxy may have in progress there; 0: no limit.",
    )
    max_streams: int = Field(
        default=200,
        ge=0,
        le=1_000_000,
        description="Event streams that each key, and each address, may hold open on one API process; 0: no limit.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description='Origins whose web pages may use the API, e.g. ["https://boards.example"]; none: browsers block '
        "pages of other origins.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Addresses or networks of proxies whose X-Forwarded-For and -Proto headers are trusted, e.g. "
        '["10.0.0.5", "10.1.0.0/24"]; a proxy requires a key (`crowdmood keys create`).',
    )
    creatives: dict[Leading, Creative] = Field(
        default={
            "happy": "celebration",
            "cheering": "anthem",
            "surprise": "replay",
            "sad": "encouragement",
            "angry": "calm",
        },
        description='The creative of each leading expression, or of `mixed`, e.g. {"happy": "celebration"}.',
    )
    default_creative: Creative = Field(
        default="house", description="The creative of any other expression, and while there is no mood to act on."
    )
    override_max_s: float = Field(
        default=14_400.0,
        ge=1,
        le=604_800,
        description="Longest override, in seconds: it ends by itself even if no one clears it.",
    )
    predict: bool = Field(
        default=False,
        description="Whether `POST /predict` classifies single photos, for keys with the scope `predict`. This is "
        "emotion recognition of single people: see docs/privacy.md.",
    )
    photos_per_minute: int = Field(
        default=30,
        ge=1,
        le=100_000,
        description="Photos per minute that each key, or each address without one, may send to one API process; a "
        "burst may have a sixth of them.",
    )
    preview: bool = Field(
        default=False, description="Whether a key with the scope `manage` may request cameras' newest frames."
    )
    preview_faces: Literal["pixelated", "clear"] = Field(
        default="pixelated", description="Faces in previews; `clear` is for footage to which you have the rights."
    )
    preview_labels: bool = Field(
        default=False,
        description="Whether boxes in previews show each face's expression by colour and name: a label for each seat.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses_of_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                trusts_all = ip_network(proxy).prefixlen == 0
            except ValueError:
                raise ValueError(
                    f"{proxy!r} is not the address or network of a proxy: write e.g. 10.0.0.5 or 10.1.0.0/24"
                ) from None
            if trusts_all:
                raise ValueError(f"{proxy} would trust every client's headers: name your proxies")
        return proxies

    @property
    def only_here(self) -> bool:
        """Whether only this machine can reach the API; a trusted proxy forwards other clients."""
        return is_local(self.host) and not self.trusted_proxies


def is_local(host: str) -> bool:
    """Return whether an address or a name resolves to this machine only."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return all(ip_address(address[0]).is_loopback for *_, address in found)
    except (OSError, ValueError):
        return False


class WebhookSettings(Group):
    """How webhooks are delivered."""

    allow_networks: tuple[str, ...] = Field(
        default=(),
        description="Private networks to which deliveries may go, also unencrypted, "
        'e.g. ["10.20.0.0/16"] for players on the stadium\'s network.',
    )
    disable_after_s: float = Field(
        default=259_200.0,
        gt=0,
        le=31_536_000,
        description="Seconds of failures without a success after which an endpoint is disabled.",
    )
    rotation_grace_s: float = Field(
        default=86_400.0,
        ge=0,
        le=31_536_000,
        description="Seconds for which a replaced secret also signs.",
    )
    deliveries_kept: int = Field(
        default=1000, ge=10, le=100_000, description="Number of the newest deliveries of each endpoint that are kept."
    )
    deliveries_hours: float = Field(
        default=168.0,
        ge=25,
        le=87_600,
        description="Hours after which the state store deletes a delivery, also while nothing runs.",
    )
    max_endpoints: int = Field(default=100, ge=1, le=10_000, description="Most endpoints that can be registered.")

    @field_validator("allow_networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(network)) for network in networks)


class AuditSettings(Group):
    """What is kept of the audit log."""

    keep_days: float = Field(
        default=180.0,
        gt=0,
        le=3650,
        description="Days after which entries of the audit log are deleted; only their age deletes them.",
    )
