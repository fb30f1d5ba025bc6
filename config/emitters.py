"""Settings of emitters: what comes in is written elsewhere as well, to files, standard output, or another Loki."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, SecretStr

from config.items import Hidden, Item, Span, is_name, read_items
from config.relay import AddLabels, Compression, UpstreamTls, Url
from config.units import MB, MINUTE, SECOND, Count, Duration, Kind, Positive, format_size, parse_size

_FIELD = re.compile(r"\{([^{}]*)\}")
PATH_FIELDS = ("tenant", "name")
"""What may stand in braces in the path of a file."""


def _read_bytes(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return parse_size(value.strip())
        except ValueError as error:
            raise ValueError("is not a size in bytes or with a unit, such as 256KB, 64MB, 2GB") from error
    return value


def _is_name_or_empty(name: str) -> str:
    return name and is_name(name)


def _is_path(path: str) -> str:
    fields = _FIELD.findall(path)
    if unknown := [field for field in fields if field not in PATH_FIELDS]:
        raise ValueError(f"{{{unknown[0]}}}: there is {', '.join(f'{{{field}}}' for field in PATH_FIELDS)}")
    rest = _FIELD.sub("", path)
    if not path.strip() or path.endswith("/") or "{" in rest or "}" in rest or "\0" in path:
        raise ValueError("is not the path of a file")
    return path


Bytes: TypeAlias = Annotated[
    int,
    BeforeValidator(_read_bytes),
    Field(ge=0),
    PlainSerializer(format_size, return_type=str, when_used="json"),
]


class _Emitter(Item):
    name: Annotated[str, AfterValidator(_is_name_or_empty)] = ""
    """Its name in the log, in metrics and in `weir relay`; empty: its kind. With another name it begins anew."""
    selector: str = ""
    """LogQL stream selector of what is emitted; empty: everything."""
    max_batch_size: Positive | None = None
    """Records in a batch at most; empty: emit.max_batch_size."""
    minimum_publish_frequency: Span | None = None
    """Time after which a smaller batch goes; empty: emit.minimum_publish_frequency."""
    retries: Count = 5
    """Tries of a batch after the first that may fail before somebody is told."""
    on_failure: Literal["keep", "discard"] = "keep"
    """What becomes of a batch then: keep: it is tried for as long as it takes; discard: it is given up, and counted."""
    max_backlog: Bytes = 0
    """Bytes of lines that may wait; past it the oldest are given up, and counted. 0: what the disk has room for."""

    def label(self) -> str:
        """Its name, or its kind where it has none."""
        return self.name or str(getattr(self, "kind", ""))


class FileEmitter(_Emitter):
    """Lines of JSON in files."""

    kind: Literal["file"]
    path: Annotated[str, AfterValidator(_is_path)]
    """The file that is written; `{tenant}` and `{name}` in it stand for the entries' tenant and the emitter's name."""
    rotate_size: Bytes = 100 * MB
    """Bytes from which on a file is moved aside and another begun; 0: however large."""
    rotate_every: Span = 0
    """Time after which it is, in UTC: 1h: at every full hour, 24h: at midnight; 0: whenever."""
    gzip: bool = True
    """Whether files that were moved aside are compressed."""


class StdoutEmitter(_Emitter):
    """Standard output."""

    kind: Literal["stdout"]
    format: Literal["json", "text"] = "json"
    """json: as in files; text: time, labels, line."""


class LokiEmitter(_Emitter):
    """Another Loki, or Weir; what `upstreams` does, on an emitter's terms."""

    kind: Literal["loki"]
    url: Url
    """Any Loki or Weir; without a path /loki/api/v1/push is meant. `user:password@` is sent as basic authentication."""
    api_key: Hidden = SecretStr("")
    """Sent as a Bearer token; empty: none."""
    add_labels: AddLabels = Field(default_factory=dict)
    """Labels put on every stream, over those of the same name that it has."""
    compression: Compression = "gzip"
    """gzip: JSON, packed; snappy: protobuf, packed; none: JSON."""
    timeout: Annotated[Span, Field(gt=0)] = MINUTE
    """Time that one push may take."""
    tenant: str = ""
    """The tenant there, sent as X-Scope-OrgID; empty: the entries' own if tenancy is on here, else none is named."""
    tls: UpstreamTls = UpstreamTls()
    """`ca`, `client_cert`, `client_key`, `insecure_skip_verify`: as of an upstream."""


class BlackholeEmitter(_Emitter):
    """Nowhere: what the way there costs, and takes, can be seen."""

    kind: Literal["blackhole"]


def _have_names(emitters: tuple[Emitter, ...]) -> tuple[Emitter, ...]:
    names = [one.label() for one in emitters]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two are called {', '.join(sorted(twice))}: give each a name of its own")
    paths = [one.path.replace("{name}", one.label()) for one in emitters if isinstance(one, FileEmitter)]
    if same := {path for path in paths if paths.count(path) > 1}:
        raise ValueError(f"two write to {', '.join(sorted(same))}")
    if sum(isinstance(one, StdoutEmitter) for one in emitters) > 1:
        raise ValueError("there is one standard output")
    return emitters


Emitter: TypeAlias = Annotated[
    FileEmitter | StdoutEmitter | LokiEmitter | BlackholeEmitter, Field(discriminator="kind")
]
Emitters: TypeAlias = Annotated[
    tuple[Emitter, ...],
    BeforeValidator(read_items),
    AfterValidator(_have_names),
    Kind(
        "emitters",
        "a list of emitters, each with a kind (file, stdout, blackhole, loki) and what that needs (in a variable or a "
        "flag: as one line of YAML)",
        items=True,
    ),
]


class Emit(BaseModel):
    """What holds for all emitters that do not say it themselves; see `emitters` above and docs/emitters.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    max_batch_size: Positive = 1000
    """Records in a batch at most. From the variable AGGREGATOR_MAX_BATCH_SIZE too."""
    minimum_publish_frequency: Duration = 15 * SECOND
    """Time after which a smaller batch goes. From the variable AGGREGATOR_MINIMUM_PUBLISH_FREQUENCY too."""
