"""Settings of the collector: log files followed by the server, or by `weir collect`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from config.items import Hidden, Item, read_items
from config.units import KB, MB, MILLISECOND, MINUTE, SECOND, Duration, Kind, Names, Positive, Size


def _read_labels(value: Any) -> Any:
    """Labels by name; as text `name=value` with commas between."""
    if isinstance(value, str):
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError("not name=value")
        return {name.strip(): text.strip() for name, _, text in pairs}
    if isinstance(value, dict):
        return {name: str(text) if isinstance(text, int | float) else text for name, text in value.items()}
    return value or {}


Labels: TypeAlias = Annotated[
    dict[str, str],
    BeforeValidator(_read_labels),
    Kind("labels", "labels by name (in a variable or a flag: name=value with commas between)"),
]
Format: TypeAlias = Literal["auto", "text", "docker", "cri"]
Time: TypeAlias = Literal["read", "line"]
Start: TypeAlias = Literal["beginning", "end"]


class CollectorSource(Item):
    """Files that are read alike; what is not said is as for all."""

    paths: Names
    """Globs."""
    exclude: Names = ()
    """Globs of paths or names that are left out, besides those of all."""
    labels: Labels = Field(default_factory=dict)
    """Labels of their lines, over those of all; an empty value takes one away."""
    format: Format = "auto"
    """What they are."""
    multiline: str = ""
    """Which of their lines are one record."""
    time: Time = "read"
    """Which time their lines get."""
    start: Start = "beginning"
    """Where they are begun when they are first seen."""


Sources: TypeAlias = Annotated[
    tuple[CollectorSource, ...],
    BeforeValidator(read_items),
    Kind("sources", "a list of sources, each with paths (in a variable or a flag: as one line of YAML)", items=True),
]


class Collector(BaseModel):
    """Log files that are followed and stored, as `weir collect` does; see docs/collector.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    paths: Names = ()
    """Files to follow: globs, `**` for any folders; a folder is all that is below it. Empty, and no sources: the
    collector is off."""
    sources: Sources = ()
    """More of them, each with labels, a format and the like of its own: `{paths: [/var/log/app/*.log], labels: {app:
    web}, multiline: java}`. Of several for one file the first holds."""
    exclude: Names = ()
    """Globs of paths or names that are left out."""
    labels: Labels = Field(default_factory=dict)
    """Labels of every line, besides `filename`, `host` and `job=collect`; an empty value takes one away."""
    filename_label: str = "filename"
    """The label with the path under which a file was found; empty: none."""
    format: Format = "auto"
    """What files are: a line a record, Docker's json-file, or CRI (Kubernetes); auto looks at the first line."""
    multiline: str = ""
    """Which lines are one record: python, java or go for what their stack traces look like, or a pattern (RE2) that a
    record's first line begins with. Empty: each line is one."""
    multiline_lines: Positive = 500
    """Most lines of a record; a longer one is cut."""
    multiline_wait: Duration = 5 * SECOND
    """Time after which a record is taken for whole though nothing has come behind it."""
    max_record: Size = 256 * KB
    """Most bytes of a record of several lines; a longer one is cut."""
    time: Time = "read"
    """Which time a line gets: that of the reading, or one found in the line. Lines of containers have theirs."""
    start: Start = "beginning"
    """Where files are begun when they are first seen."""
    url: str = ""
    """Where lines are sent: a server of Loki's push API. Empty: they are stored here."""
    tenant: str = ""
    """The tenant of the lines; empty: tenancy.default, and none is said to another server."""
    api_key: Hidden = SecretStr("")
    """The key that is shown to the server (Authorization: Bearer)."""
    tls_ca: str = ""
    """File with the authorities (PEM) that the server's certificate is checked with; empty: the system's."""
    tls_cert: str = ""
    """File with a certificate (PEM) to show to the server."""
    tls_key: str = ""
    """File with its key (PEM); empty: it is in tls_cert."""
    tls_insecure: bool = False
    """Takes any certificate."""
    timeout: Duration = MINUTE
    """Time for the answer to one batch."""
    batch_size: Size = MB
    """Bytes of lines after which a batch is sent."""
    batch_wait: Duration = SECOND
    """Time after which one is sent that is smaller."""
    in_flight: Positive = 1
    """Batches sent at once. More than one is faster to a server that is far away, which then may get them in another
    order."""
    poll: Duration = 250 * MILLISECOND
    """How often files are looked at."""
    scan: Duration = SECOND
    """How often new files are looked for."""
    rotate_wait: Duration = 5 * SECOND
    """How long a file that was renamed or deleted is read on after its last line."""
    state: str = ""
    """Folder for how far each file is; empty: `collector` in the data directory."""

    @property
    def is_on(self) -> bool:
        """Whether there is anything to follow."""
        return bool(self.paths or self.sources)
