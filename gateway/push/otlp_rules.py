"""What becomes of each OTLP attribute of a tenant: its otlp_config, compiled once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import re2

from config.otlp import INDEX_LABELS, Action, AttributeRule, OtlpConfig
from gateway.push.errors import MalformedPush, PushFailed
from gateway.push.metadata import label_name
from gateway.push.otlp_values import text_of

_CACHED_NAME = 256
"""Longest attribute name whose action is remembered."""

Named: TypeAlias = tuple[str, bytes]
"""A label name and a value."""


class AttributeRules:
    """The rules of one kind of attributes."""

    def __init__(self, rules: Iterable[AttributeRule]) -> None:
        """`rules`: the first that fits an attribute counts."""
        self._names: dict[str, tuple[int, Action]] = {}
        self._patterns: list[tuple[int, Any, Action]] = []
        self._known: dict[str, Action] = {}
        for place, rule in enumerate(rules):
            for name in rule.attributes:
                self._names.setdefault(name, (place, rule.action))
            if rule.regex:
                self._patterns.append((place, re2.compile(f"^(?s:{rule.regex})$"), rule.action))

    @property
    def makes_labels(self) -> bool:
        """Whether an attribute can become a label."""
        actions = [action for _, action in self._names.values()] + [action for *_, action in self._patterns]
        return "index_label" in actions

    def action(self, name: str) -> Action:
        """What becomes of the attribute of this name."""
        if not self._patterns:
            return self._names.get(name, _DEFAULT)[1]
        found = self._known.get(name)
        if found is None:
            found = self._search(name)
            if len(name) <= _CACHED_NAME:
                if len(self._known) >= _CACHED_NAMES:
                    self._known.clear()
                self._known[name] = found
        return found

    def _search(self, name: str) -> Action:
        place, found = self._names.get(name, _DEFAULT)
        raw = name.encode("utf-8", "surrogateescape")
        for other, pattern, action in self._patterns:
            if other > place:
                break
            if pattern.match(raw):
                return action
        return found


_CACHED_NAMES = 4096
_DEFAULT: tuple[int, Action] = (1 << 30, "structured_metadata")


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """A tenant's rules."""

    resource: AttributeRules
    scope: AttributeRules
    log: AttributeRules
    severity_is_label: bool

    @property
    def labels_by_record(self) -> bool:
        """Whether records of one resource can be of several streams."""
        return self.severity_is_label or self.log.makes_labels


@lru_cache(maxsize=64)
def compiled(config: OtlpConfig | None) -> Rules:
    """The rules of a tenant's settings."""
    config = config or OtlpConfig()
    resource = list(config.resource_attributes.attributes_config)
    if not config.resource_attributes.ignore_defaults:
        resource.insert(0, AttributeRule(action="index_label", attributes=INDEX_LABELS))
    return Rules(
        AttributeRules(resource),
        AttributeRules(config.scope_attributes),
        AttributeRules(config.log_attributes),
        config.severity_text_as_label,
    )


def otlp_name(name: str) -> str:
    """The label name of an attribute.

    Raises:
        MalformedPush: it cannot become one.
    """
    try:
        return label_name(name)
    except PushFailed as failed:
        raise MalformedPush(str(failed)) from None


def sorted_out(attributes: Iterable[Any], rules: AttributeRules) -> tuple[list[Named], list[Named]]:
    """The attributes (KeyValue messages) that become labels, and those that become structured metadata.

    Raises:
        MalformedPush: a name cannot become a label name.
    """
    labels: list[Named] = []
    metadata: list[Named] = []
    for attribute in attributes:
        key = attribute.key.decode("utf-8", "surrogateescape")
        action = rules.action(key)
        if action != "drop":
            (labels if action == "index_label" else metadata).extend(_flattened(otlp_name(key), attribute.value))
    return labels, metadata


def _flattened(name: str, value: Any) -> Iterator[Named]:
    """A map as one pair for each value in it, named by the way there."""
    if value.WhichOneof("value") != "kvlist_value":
        yield name, text_of(value)
        return
    for pair in value.kvlist_value.values:
        yield from _flattened(otlp_name(f"{name}_{pair.key.decode('utf-8', 'surrogateescape')}"), pair.value)
