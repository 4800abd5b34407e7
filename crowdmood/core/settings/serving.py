"""Answers and webhooks."""

import socket
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from crowdmood.core.settings.base import Group

Leading: TypeAlias = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "cheering", "mixed"]
Creative: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]


class ApiSettings(Group):
    """Where answers are served."""

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; one that others can reach needs a key (`crowdmood keys create`).",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    stream_heartbeat_s: float = Field(
        default=15.0, gt=0, le=3600, description="Seconds of silence after which a stream tells that it lives."
    )
    stream_slow_after_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Seconds after which a stream is ended whose reader has not taken what there was.",
    )
    ops_host: str = Field(default="127.0.0.1", description="Address of `ops_port`; no key is asked for there.")
    ops_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port for /metrics, /livez and /readyz alone; 0: they are served where everything else is.",
    )
    requests_per_s: float = Field(
        default=100.0,
        ge=0,
        le=1_000_000,
        description="Requests a second that each key, and each address, may make of one API process once there are "
        "keys; twice as many may come at once; 0: any number.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description='Origins whose web pages may ask, as ["https://boards.example"]; none: browsers keep pages away.',
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed.",
    )
    creatives: dict[Leading, Creative] = Field(
        default={
            "happy": "celebration",
            "cheering": "anthem",
            "surprise": "replay",
            "sad": "encouragement",
            "angry": "calm",
        },
        description='What a board shows for each leading expression, or `mixed`: {"happy": "celebration"}, say.',
    )
    default_creative: Creative = Field(
        default="house", description="What a board shows for any other, and while there is no mood to act on."
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
        description="Photos a minute that each key, or each address without one, may send to one API process; a sixth "
        "of them may come at once.",
    )
    preview: bool = Field(
        default=False, description="Whether a key that may manage can look at cameras' newest frames, boxes drawn."
    )
    preview_faces: Literal["pixelated", "clear"] = Field(
        default="pixelated", description="What previews show: blocks, or for footage that one has the rights to, faces."
    )
    preview_labels: bool = Field(
        default=False,
        description="Whether boxes in previews have the colour and name of what each face shows: a label a seat.",
    )

    @property
    def only_here(self) -> bool:
        """Whether no client but this machine can reach the API; a proxy passes others on."""
        return is_local(self.host) and not self.trusted_proxies


def is_local(host: str) -> bool:
    """Return whether an address or a name means this machine alone."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return all(ip_address(address[0]).is_loopback for *_, address in found)
    except (OSError, ValueError):
        return False


class WebhookSettings(Group):
    """How webhooks are delivered."""

    allow_networks: tuple[str, ...] = Field(
        default=(),
        description='Networks that deliveries may go to although they are private, and unencrypted: ["10.20.0.0/16"], '
        "say, for players on the stadium's own network.",
    )
    disable_after_s: float = Field(
        default=259_200.0,
        gt=0,
        le=31_536_000,
        description="Seconds without one success among failures after which an endpoint is disabled.",
    )
    rotation_grace_s: float = Field(
        default=86_400.0,
        ge=0,
        le=31_536_000,
        description="Seconds for which a replaced secret signs beside the new one.",
    )
    deliveries_kept: int = Field(
        default=1000, ge=10, le=100_000, description="Newest deliveries of each endpoint that are kept."
    )
    max_endpoints: int = Field(default=100, ge=1, le=10_000, description="Endpoints that may be registered.")

    @field_validator("allow_networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(network)) for network in networks)
