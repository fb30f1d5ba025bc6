"""How events of the Fluent Forward door become streams: the settings group `forward.mapping`, and its accessors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from config.units import Kind

ROOTS = ("$", "@metadata", "@group")
"""Where keys are looked up: in the record, in the metadata of the event, in the record of the OpenTelemetry group."""

_STEP = re.compile(r"""\.?([^.\[\]'"|\s]+)|\[(?:'([^']*)'|"([^"]*)")\]""")
_TAG = re.compile(r"\$TAG(?:\[(\d+)(?::(\d*))?\])?")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Path:
    """Keys that lead to a value: `$kubernetes.labels['app.kubernetes.io/name']`.

    Attributes:
        root: index into ROOTS.
        keys: one a level.
    """

    root: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TagParts:
    """`$TAG`, or the parts of it between dots: `$TAG[0]`, `$TAG[0:2]`, `$TAG[1:]`.

    Attributes:
        first: the first part.
        end: the part behind the last; None: to the end.
    """

    first: int = 0
    end: int | None = None


Source: TypeAlias = Path | TagParts | str
"""Where a value comes from; a text is the value."""


def parse_source(text: str) -> Source:
    """What an accessor means; anything that begins with neither `$` nor `@` is a constant.

    Raises:
        ValueError: it begins so, and is none.
    """
    tag = _TAG.fullmatch(text)
    if tag is not None:
        if tag[1] is None:
            return TagParts()
        first = int(tag[1])
        if tag[2] is None:
            return TagParts(first, first + 1)
        return TagParts(first, int(tag[2]) if tag[2] else None)
    for number, root in enumerate(ROOTS):
        if text.startswith(root):
            return Path(number, _keys(text.removeprefix(root)))
    if text.startswith("@"):
        raise ValueError("not an accessor")
    return text


def _keys(text: str) -> tuple[str, ...]:
    keys = []
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            raise ValueError("not an accessor")
        keys.append(next(key for key in step.groups() if key is not None))
        at = step.end()
    if not keys:
        raise ValueError("an accessor without a key")
    return tuple(keys)


def parse_path(text: str) -> Path:
    """As `parse_source`, where only a path will do.

    Raises:
        ValueError: it is none.
    """
    found = parse_source(text)
    if not isinstance(found, Path):
        raise ValueError("not a path")  # noqa: TRY004 - pydantic reports ValueError only
    return found


def parse_named(text: str) -> tuple[str, tuple[Source, ...]]:
    """Name and sources, best first, of `name=$a|$b`; without a name it is that of the path, joined by underscores.

    Raises:
        ValueError: a name that cannot be a label's, or a source that is none.
    """
    name, equals, rest = text.partition("=")
    if not equals or name.startswith(("$", "@")):
        path = parse_path(text)
        name = re.sub(r"[^a-zA-Z0-9_]", "_", "_".join(path.keys))
        return (f"_{name}" if name[0].isdigit() else name), (path,)
    if not _LABEL.fullmatch(name):
        raise ValueError("not a label name")
    sources = tuple(parse_source(part) for part in rest.split("|"))
    if len(sources) > 1 and any(isinstance(source, TagParts) for source in sources):
        raise ValueError("the tag beside other sources")
    return name, sources


def parse_metadata(text: str) -> tuple[str, Path] | None:
    """Name and path of `name=$a`, or of `$a`; None for `*`, everything else that there is.

    Raises:
        ValueError: as `parse_named`, and where there is anything but one path.
    """
    if text == "*":
        return None
    name, (path, *others) = parse_named(text)
    if others or not isinstance(path, Path):
        raise ValueError("not a path")
    return name, path


def _check_labels(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        parse_named(text)
    return texts


def _check_metadata(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        parse_metadata(text)
    return texts


def _check_paths(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        parse_path(text)
    return texts


def _check_path(text: str) -> str:
    if text:
        parse_path(text)
    return text


def _check_name(text: str) -> str:
    if text and not _LABEL.fullmatch(text):
        raise ValueError("not a name")
    return text


def _read_list(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


_READ = BeforeValidator(_read_list)
_NAMED = Kind("names", "a list of name=$accessor, such as app=$kubernetes.labels.app, part=$TAG[0], job=web")
LabelRules: TypeAlias = Annotated[tuple[str, ...], _READ, AfterValidator(_check_labels), _NAMED]
MetadataRules: TypeAlias = Annotated[tuple[str, ...], _READ, AfterValidator(_check_metadata), _NAMED]
Paths: TypeAlias = Annotated[
    tuple[str, ...],
    _READ,
    AfterValidator(_check_paths),
    Kind("names", "a list of accessors, such as $log, $kubernetes['pod_name']"),
]
OnePath: TypeAlias = Annotated[str, AfterValidator(_check_path), Kind("text", "an accessor, such as $tenant, or empty")]
Name: TypeAlias = Annotated[str, AfterValidator(_check_name), Kind("text", "letters, digits and _, or empty")]


class ForwardMapping(BaseModel):
    """How Forward events become streams; docs/forward.md explains it."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    preset: Literal["default", "docker", "kubernetes"] = "default"
    """Which labels there are where `labels` says nothing."""
    labels: LabelRules = ()
    """Labels: `name=$accessor`, `name=$first|$second`, `name=$TAG[0]`, `name=constant`; empty: those of the preset."""
    metadata: MetadataRules = ("*",)
    """Structured metadata, named as labels are; `*`: all that is neither label nor line."""
    line_keys: Paths = ("$log", "$message", "$msg", "$MESSAGE")
    """Keys of which the first that a record has is its line."""
    line_format: Literal["raw", "json", "key_value"] = "raw"
    """The line: raw (the line key as it was written; JSON if there is none), or json or key_value of what is left."""
    keep_label_keys: bool = False
    """Leave what became a label, or the tenant, in the line and in structured metadata too."""
    remove_keys: Paths = ()
    """Keys, with all below them, that are stored nowhere unless they are a label or the tenant."""
    level_keys: Paths = ()
    """Keys whose value is the level of the entry: stored as `detected_level`, not under their names."""
    tag_metadata: Name = "fluent_tag"
    """Structured metadata that gets the tag; empty: none."""
    tenant_key: OnePath = ""
    """Key that names the tenant of an entry; empty: the listener's tenant for all."""
    tenant_option: str = ""
    """Option of a message that names the tenant of its entries (Fluent Bit: add_option); empty: none."""
    join_partials: bool = True
    """Join the parts of a line that Docker cut, where one message has them all."""
