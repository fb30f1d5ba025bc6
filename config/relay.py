"""Settings of upstreams: the servers that everything which comes in is passed on to."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr

from config.items import Hidden, Item, Span, is_name, read_items
from config.units import MINUTE, Kind, Positive, Size

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_URL = "a URL such as https://logs.example.org or http://central:3100"


def _read_url(value: Any) -> Any:
    if value in ("", None):
        return ""
    if not isinstance(value, str) or any(char.isspace() for char in value.strip()):
        raise ValueError(f"is not {_URL}")
    try:
        parts = urlsplit(value.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ValueError(f"is not {_URL}")
    return value.strip()


def shown_url(url: str) -> str:
    """A URL without the password that may be in it."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]))


def _read_labels(value: Any) -> Any:
    """A mapping; in a variable or a flag `name=value` with commas between, or one line of YAML."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = yaml.safe_load(text) if text.startswith("{") else _pairs(text)
        except yaml.YAMLError as error:
            raise ValueError("is not labels") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("is not labels")  # noqa: TRY004 - pydantic reports ValueError only
    for name, text in value.items():
        if not isinstance(name, str) or _LABEL.fullmatch(name) is None:
            raise ValueError(f"{name!r} is not a label's name")
        if isinstance(text, bool) or not isinstance(text, str | int | float) or text == "":
            raise ValueError(f"the label {name} has no text")
    return {name: str(text) for name, text in value.items()}


def _pairs(text: str) -> dict[str, str]:
    pairs = (item.partition("=") for item in text.split(",") if item.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _read_compression(value: Any) -> Any:
    """True and false as some write them."""
    return {True: "gzip", False: "none", "true": "gzip", "false": "none"}.get(value, value)


def _read_instance(value: Any) -> Any:
    """Empty: the name of the machine."""
    if value in ("", None):
        return socket.gethostname()
    if isinstance(value, str) and (len(value) > 255 or not value.isprintable()):
        raise ValueError("not a name")
    return value


Url: TypeAlias = Annotated[
    str,
    BeforeValidator(_read_url),
    PlainSerializer(shown_url, return_type=str, when_used="json"),
    Kind("URL", _URL),
]
Name: TypeAlias = Annotated[
    str, AfterValidator(is_name), Kind("text", "a name of letters, digits, dots, hyphens and underscores")
]
AddLabels: TypeAlias = Annotated[
    dict[str, str],
    BeforeValidator(_read_labels),
    Kind("labels", "labels such as {site: berlin, rack: 7} (in a variable or a flag: site=berlin,rack=7)"),
]
Compression: TypeAlias = Annotated[Literal["gzip", "snappy", "none"], BeforeValidator(_read_compression)]
InstanceName: TypeAlias = Annotated[
    str, BeforeValidator(_read_instance), Kind("text", "a name of at most 255 printable characters")
]
Part: TypeAlias = Annotated[float, Field(gt=0, le=1), Kind("number", "a part above 0 and up to 1, such as 0.2")]
Growth: TypeAlias = Annotated[float, Field(ge=0, le=10), Kind("number", "a number from 0 to 10, such as 0.1")]


class UpstreamTls(Item):
    """TLS towards an upstream whose URL is https://. Files, or the PEM text itself."""

    ca: str = ""
    """The authorities that its certificate is checked with; empty: those the system trusts."""
    client_cert: str = ""
    """The certificate chain that this server shows (mutual TLS); empty: none."""
    client_key: Hidden = SecretStr("")
    """The key of client_cert; empty: it is in client_cert."""
    insecure_skip_verify: bool = False
    """Trust whoever answers: for trying things out."""


class Upstream(Item):
    """One server that what comes in is passed on to."""

    name: Name = "upstream"
    """Its name in the log, in metrics and in `weir relay`. With another name it begins anew, from then on."""
    url: Url = ""
    """Any Loki or Weir; without a path /loki/api/v1/push is meant. `user:password@` is sent as basic authentication."""
    api_key: Hidden = SecretStr("")
    """Sent as a Bearer token; empty: none."""
    selector: str = ""
    """LogQL stream selector of what is passed on; empty: everything."""
    add_labels: AddLabels = Field(default_factory=dict)
    """Labels put on every stream, over those of the same name that it has."""
    batch_size: Positive = 1000
    """Records in a batch at most."""
    batch_interval: Span = MINUTE
    """Time after which a smaller batch goes, from when its oldest record came."""
    batch_size_min: Part = 0.2
    """Part of batch_size that batches do not fall below: each failure makes them smaller by a fifth."""
    batch_size_recovery: Growth = 0.1
    """Part by which they grow again with each success."""
    compression: Compression = "gzip"
    """gzip: JSON, packed; snappy: protobuf, packed; none: JSON."""
    timeout: Annotated[Span, Field(gt=0)] = MINUTE
    """Time that one push may take."""
    tenant: str = ""
    """The tenant there, sent as X-Scope-OrgID; empty: the entries' own if tenancy is on here, else none is named."""
    tls: UpstreamTls = UpstreamTls()
    max_backlog: Size = 0
    """Bytes of lines that may wait; past it the oldest batches are given up, and counted. 0: what the disk has room
    for; then pushes are refused with 503 before anything that is not passed on goes."""
    notify_after: Positive = 5
    """Failures in a row after which somebody is told (`notify`)."""


class SingleUpstream(Upstream):
    """The upstream of a server that has one. See docs/relay.md; for several there is `upstreams`."""

    enabled: bool = False
    """Whether what comes in is passed on to it."""


def _have_names(upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
    for upstream in upstreams:
        if "name" not in upstream.model_fields_set or not upstream.url:
            raise ValueError("each needs a name and a url")
    names = [upstream.name for upstream in upstreams]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two are called {', '.join(sorted(twice))}: give each a name of its own")
    return upstreams


Upstreams: TypeAlias = Annotated[
    tuple[Upstream, ...],
    BeforeValidator(read_items),
    AfterValidator(_have_names),
    Kind(
        "upstreams",
        "a list of upstreams, each with a name, a url, and the keys of `upstream` (in a variable or a flag: as one "
        "line of YAML)",
        items=True,
    ),
]


def enabled_upstreams(single: SingleUpstream, several: tuple[Upstream, ...]) -> Iterator[Upstream]:
    """All that are passed on to."""
    if single.enabled:
        yield single
    yield from several


def is_open(upstream: Upstream) -> bool:
    """Whether a key goes over the network in clear text."""
    parts = urlsplit(upstream.url)
    return parts.scheme == "http" and (bool(upstream.api_key.get_secret_value()) or "@" in parts.netloc)
