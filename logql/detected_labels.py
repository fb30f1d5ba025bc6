"""Which stream labels are worth showing to somebody who looks around, as in Loki."""

from __future__ import annotations

import re
from collections.abc import Collection

from logql.convert import ConversionError, parse_float

_ALWAYS = frozenset({"cluster", "namespace", "instance", "pod"})
"""Labels that are shown whatever their values."""

_HEX = "[0-9a-fA-F]"
_DASHED = f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"
_UUID = re.compile(rf"(?:(?i:urn:uuid:))?{_DASHED}|.{_DASHED}.|{_HEX}{{32}}", re.DOTALL)
"""What Go's uuid package takes: plain, as a URN, in braces (it looks at neither of the two), without dashes."""

_FLAGS = frozenset({"0", "1"})


def is_shown(name: str, values: Collection[str]) -> bool:
    """Whether a label says something about its streams: not one whose values are all numbers or UUIDs.

    Args:
        name: of the label.
        values: all of them, distinct.
    """
    if not values:
        return False
    return name in _ALWAYS or _FLAGS.issuperset(values) or not all(_is_id(value) for value in values)


def _is_id(value: str) -> bool:
    if _UUID.fullmatch(value):
        return True
    try:
        parse_float(value)
    except ConversionError:
        return False
    return True
