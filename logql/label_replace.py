"""label_replace: a label made from another one by a regex, as in Loki."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from logql.ast import LabelReplace
from logql.literals import to_bytes, to_text
from logql.regex import compile_regex
from logql.vectors import LabelTable, Renumbering, Vectors, VectorSource
from storage.batch import Labels

_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})")
"""What Go's Regexp.Expand reads: `$$`, `$name` (as long as it goes) and `${name}`. Any other `$` is text."""

_NUMBER = re.compile(r"0|[1-9][0-9]*")


class Relabelled:
    """Vectors whose samples have new labels; samples whose labels become equal stay apart."""

    def __init__(self, node: LabelReplace, operand: VectorSource) -> None:
        """Takes the label_replace and what it is of.

        Raises:
            RegexError: the regex is none; `parse` has refused it before.
        """
        compile_regex(node.regex)
        regex = compile_regex(f"^(?:{node.regex})$")
        self._operand = operand
        self._table = LabelTable()
        self._series = Renumbering(operand, lambda labels: _relabelled(node, regex, labels), self._table)

    @property
    def labels(self) -> Sequence[Labels]:
        """As VectorSource says."""
        return self._table.labels

    def vectors(self, first: int, stop: int) -> Vectors:
        """As VectorSource says."""
        given = self._operand.vectors(first, stop)
        return Vectors(given.bounds, self._series(given.series), given.values, given.failure)


def _relabelled(node: LabelReplace, regex: Any, labels: Labels) -> Labels:
    found = regex.search(to_bytes(dict(labels).get(node.src, "")))
    if found is None:
        return labels
    value = _expanded(node.replacement, found)
    kept = {name: old for name, old in labels if name != node.dst}
    if value:
        kept[node.dst] = value
    return tuple(sorted(kept.items()))


def _expanded(template: str, found: Any) -> str:
    """`template` with its references replaced by the match's groups; a group that is not there is ""."""

    def group(reference: re.Match[str]) -> str:
        dollar, bare, braced = reference.groups()
        if dollar:
            return "$"
        name = bare or braced
        number = int(name) if _NUMBER.fullmatch(name) else found.re.groupindex.get(to_bytes(name))
        if number is None or number > found.re.groups:
            return ""
        return to_text(found.group(number) or b"")

    return _REFERENCE.sub(group, template)
