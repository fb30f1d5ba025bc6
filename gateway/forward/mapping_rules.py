"""The settings of the mapping, made ready: for the paths that occur in a message, what becomes of the values there."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from config.forward_mapping import ForwardMapping, Path, TagParts, parse_metadata, parse_named, parse_path
from config.limits import Limits
from gateway.forward.entries import Paths
from gateway.forward.kernels.entry_assign import (
    LINE_JSON,
    LINE_PAIRS,
    LINE_TEXT,
    PLAN_DROPPED,
    PLAN_EXPLICIT,
    PLAN_LINE,
    PLAN_NAME,
    PLAN_ROOT,
    PLAN_SLASH,
    PLAN_SLOTS,
)
from gateway.forward.presets import PRESETS
from gateway.push.errors import PushFailed
from gateway.push.levels import DETECTED_LEVEL
from gateway.push.metadata import label_name
from storage.batch import I64, Labels, Texts, texts

_RECORD, _METADATA, _GROUP = range(3)
_FORMS = {"raw": LINE_TEXT, "json": LINE_JSON, "key_value": LINE_PAIRS}
_NO_LIMIT = 1 << 40
_HEX_PART = re.compile(r"[0-9a-fA-F]{12,}")
_OTHER = re.compile("[^a-zA-Z0-9_]")
_LONGEST_NAME = 256
_UNNAMED = 64
_KEPT_PLANS, _KEPT_PATHS, _KEPT_TEXT = 256, 512, 1 << 15
"""Plans that are remembered; paths, and characters of keys, of one that is."""
_KEPT_SETS, _KEPT_VALUES = 1024, 1024
"""Label sets that are remembered; bytes of the tag and the values of one that is."""

Values: TypeAlias = tuple[bytes | None, ...]
"""Of each label that is looked up, None where an entry has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What becomes of the values at the paths of a message.

    Attributes:
        table: int64[7, p + 1], the PLANs by path.
        slots: int64[2, s], see `assign`.
        names: names of structured metadata.
        texts: the name of each path in a line of pairs.
        partials: numbers of the paths in PARTIAL_KEYS, -1 for those that do not occur.
    """

    table: I64
    slots: I64
    names: tuple[str, ...]
    texts: Texts
    partials: tuple[int, ...]


PARTIAL_KEYS = ("partial_message", "partial_id", "partial_ordinal", "partial_last", "container_id")
"""What Docker's driver says of the parts of a line that it cut."""


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """The settings `forward.mapping` and the limits that they must keep to, compiled.

    Attributes:
        labels: names of the labels whose values are looked up, the tenant before all others where it is looked up.
        sources: of each, the paths and constants, best first.
        constants: labels that are the same for all.
        tag_labels: labels made of the tag.
        metadata: names and paths of structured metadata that is asked for by name.
        everything: whether all else is structured metadata, too.
        line_keys: best first.
        removed: paths that are stored nowhere.
        levels: paths of levels.
        form: LINE_TEXT, LINE_JSON or LINE_PAIRS.
        keep_labels: whether values of labels stay where they were.
        tag_metadata: name for the tag, "" for none.
        has_tenant: whether labels[0] is the tenant.
        tenant_option: option that names the tenant, "" for none.
        join_partials: whether parts of lines are joined.
        max_line: bytes of a joined line at most.
        max_label: bytes of a label's value at most; a longer one is no label.
        max_pairs: metadata of an entry at most.
        max_bytes: its bytes at most.
    """

    labels: tuple[str, ...]
    sources: tuple[tuple[Path | str, ...], ...]
    constants: tuple[tuple[str, str], ...]
    tag_labels: tuple[tuple[str, TagParts], ...]
    metadata: tuple[tuple[str, Path], ...]
    everything: bool
    line_keys: tuple[Path, ...]
    removed: tuple[Path, ...]
    levels: tuple[Path, ...]
    form: int
    keep_labels: bool
    tag_metadata: str
    has_tenant: bool
    tenant_option: str
    join_partials: bool
    max_line: int
    max_label: int
    max_pairs: int
    max_bytes: int
    _plans: dict[Paths, Plan] = field(default_factory=dict)
    _sets: dict[tuple[str, Values], tuple[bytes, Labels]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, paths: Paths) -> Plan:
        """The plan for these paths; messages of one sender have the same ones again and again. Thread-safe."""
        found = self._plans.get(paths)
        if found is None:
            found = _plan(self, paths)
            if len(paths) <= _KEPT_PATHS and sum(len(key) for _, keys in paths for key in keys) <= _KEPT_TEXT:
                with self._lock:
                    if len(self._plans) >= _KEPT_PLANS:
                        self._plans.clear()
                    self._plans[paths] = found
        return found

    def label_set(self, tag: str, values: Values) -> tuple[bytes, Labels]:
        """The tenant, empty for the listener's, and the labels of entries with these values. Thread-safe.

        Args:
            tag: of their message.
            values: of each of `labels`.
        """
        key = (tag, values)
        found = self._sets.get(key)
        if found is None:
            found = _label_set(self, tag, values)
            if len(tag) + sum(len(value) for value in values if value is not None) <= _KEPT_VALUES:
                with self._lock:
                    if len(self._sets) >= _KEPT_SETS:
                        self._sets.clear()
                    self._sets[key] = found
        return found


def compile_rules(mapping: ForwardMapping, limits: Limits | None = None) -> Rules:
    """The rules of the settings `forward.mapping`, within the limits of structured metadata and labels."""
    limits = limits or Limits()
    labels: list[str] = []
    sources: list[tuple[Path | str, ...]] = []
    constants: list[tuple[str, str]] = []
    tag_labels: list[tuple[str, TagParts]] = []
    if mapping.tenant_key:
        labels.append("")
        sources.append((parse_path(mapping.tenant_key),))
    for text in mapping.labels or PRESETS[mapping.preset]:
        name, found = parse_named(text)
        first = found[0]
        if isinstance(first, str):
            constants.append((name, first))
        elif isinstance(first, TagParts):
            tag_labels.append((name, first))
        else:
            labels.append(name)
            sources.append(tuple([source for source in found if not isinstance(source, TagParts)]))
    wanted = [parse_metadata(text) for text in mapping.metadata] if limits.allow_structured_metadata else []
    form = _FORMS[mapping.line_format]
    if not limits.allow_structured_metadata and form == LINE_TEXT and "*" in mapping.metadata:
        form = LINE_JSON  # nothing that was sent is lost
    return Rules(
        labels=tuple(labels),
        sources=tuple(sources),
        constants=tuple(constants),
        tag_labels=tuple(tag_labels),
        metadata=tuple([found for found in wanted if found is not None]),
        everything=None in wanted,
        line_keys=tuple(map(parse_path, mapping.line_keys)),
        removed=tuple(map(parse_path, mapping.remove_keys)),
        levels=tuple(map(parse_path, mapping.level_keys)) if limits.allow_structured_metadata else (),
        form=form,
        keep_labels=mapping.keep_label_keys,
        tag_metadata=mapping.tag_metadata if limits.allow_structured_metadata else "",
        has_tenant=bool(mapping.tenant_key),
        tenant_option=mapping.tenant_option,
        join_partials=mapping.join_partials,
        max_line=limits.max_line_size or _NO_LIMIT,
        max_label=limits.max_label_value_length or _NO_LIMIT,
        max_pairs=max(0, (limits.max_structured_metadata_entries_count or _NO_LIMIT) - 1),  # one is the tag
        # Limits count names, too; half of them is left for those.
        max_bytes=(limits.max_structured_metadata_size or _NO_LIMIT) // 2,
    )


def tag_value(tag: str, parts: TagParts) -> str:
    """The tag, or the parts of it, as a label; "" where it would be another one for each container or file.

    Docker's default tag is the beginning of a container's id, and that of Fluent Bit's tail input is a file's path.
    """
    chosen = tag.split(".")[parts.first : parts.end]
    value = ".".join(chosen)
    return "" if ".log" in f".{value}" or any(_HEX_PART.search(part) for part in chosen) else value


def _label_set(rules: Rules, tag: str, values: Values) -> tuple[bytes, Labels]:
    labels = dict(rules.constants)
    for name, parts in rules.tag_labels:
        labels[name] = tag_value(tag, parts)
    tenant = b""
    for label, value in enumerate(values):
        if label == 0 and rules.has_tenant:
            tenant = value or b""
        elif value is not None:
            labels[rules.labels[label]] = value.decode("utf-8", "replace")
        else:
            _fall_back(labels, rules, label)
    return tenant, tuple(sorted([pair for pair in labels.items() if pair[1]]))


def _fall_back(labels: dict[str, str], rules: Rules, label: int) -> None:
    """The constant among a label's sources, where none of its paths has a value."""
    for source in rules.sources[label]:
        if isinstance(source, str):
            labels[rules.labels[label]] = source
            return


def metadata_name(root: int, keys: Sequence[str]) -> str:
    """The name as structured metadata of what is at a path: its keys joined by underscores.

    What OpenTelemetry has its own words for (attributes of a record and of its resource, severity, ids) is named as a
    push by OTLP would name it.
    """
    if root == _METADATA and keys and keys[0] == "otlp" and len(keys) > 1:
        keys = keys[2:] if keys[1] == "attributes" and len(keys) > 2 else keys[1:]
    elif root == _GROUP and len(keys) > 2 and list(keys[:2]) == ["resource", "attributes"]:
        keys = keys[2:]
    text = "_".join(keys)[:_LONGEST_NAME]
    try:
        return label_name(text)
    except PushFailed:  # nothing of it may stand in a name
        return f"key_{text[:_UNNAMED].encode('utf-8', 'replace').hex()}"


def pair_name(keys: Sequence[str]) -> str:
    """The name of a path in a line of pairs."""
    return re.sub(r'[\s="\x00-\x1f\x7f]', "_", "_".join(keys)[:_LONGEST_NAME]) or "_"


def _plan(rules: Rules, paths: Paths) -> Plan:
    ranks: dict[tuple[int, tuple[str, ...]], list[tuple[int, int]]] = {}
    for label, sources in enumerate(rules.sources):
        for rank, source in enumerate(sources):
            if isinstance(source, Path):
                ranks.setdefault((source.root, source.keys), []).append((label, rank))
    lines = {(path.root, path.keys): rank for rank, path in reversed(list(enumerate(rules.line_keys)))}
    explicit = {(path.root, path.keys): name for name, path in rules.metadata}
    explicit |= {(path.root, path.keys): DETECTED_LEVEL for path in rules.levels}
    removed = {(path.root, path.keys) for path in rules.removed}
    table = np.zeros((PLAN_SLOTS + 1, len(paths) + 1), np.int64)
    slots: list[tuple[int, int]] = []
    names: dict[str, int] = {}
    for number, path in enumerate(paths):
        root, keys = path
        is_removed = any((root, keys[:size]) in removed for size in range(1, len(keys) + 1)) if removed else False
        is_explicit = path in explicit
        name = -1
        if not is_removed and (is_explicit or rules.everything) and keys:
            title = label_name(explicit[path]) if is_explicit else metadata_name(root, keys)
            name = names.setdefault(title, len(names))
        table[PLAN_ROOT, number] = root
        table[PLAN_LINE, number] = -1 if is_removed else lines.get(path, -1)
        table[PLAN_NAME, number] = name
        table[PLAN_EXPLICIT, number] = is_explicit
        table[PLAN_SLASH, number] = root == _RECORD and keys == ("container_name",)
        table[PLAN_DROPPED, number] = is_removed
        table[PLAN_SLOTS, number] = len(slots)
        slots += ranks.get(path, [])
    table[PLAN_SLOTS, len(paths)] = len(slots)
    numbers = {path: number for number, path in enumerate(paths)}
    return Plan(
        table=table,
        slots=np.array(slots, np.int64).reshape(-1, 2).T.copy(),
        names=tuple(names),
        texts=texts([pair_name(keys).encode("utf-8", "replace") for _, keys in paths]),
        partials=tuple([numbers.get((_RECORD, (key,)), -1) for key in PARTIAL_KEYS]),
    )
