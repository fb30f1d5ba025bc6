"""What a pipeline tells its parsers: which labels are wanted, and which filters may drop a line early, as in Loki."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from logql.stages.row import ERROR, Row

SUFFIX = "_extracted"
"""What the name of a parsed label gets when the entry came with one of that name."""


class RowTest(Protocol):
    """A label filter."""

    def apply(self, row: Row) -> bool:
        """Whether the row goes on."""


@dataclass(frozen=True, slots=True)
class Hints:
    """For the parsers of one pipeline.

    Attributes:
        required: labels that the query uses; empty: all of them are wanted.
        no_labels: none is wanted, parsers need not run.
        preserve_error: the query asks for `__error__`; a parser that fails sets `__preserve_error__`.
        filters: label -> the first simple filter on it, wherever it stands in the pipeline.
    """

    required: frozenset[str] = frozenset()
    no_labels: bool = False
    preserve_error: bool = False
    filters: Mapping[str, RowTest] = field(default_factory=dict)

    def wants(self, name: str) -> bool:
        """Whether a parser is to set this label."""
        return not self.required or name in self.required

    def wants_prefix(self, prefix: str) -> bool:
        """Whether a label that begins so may be wanted."""
        return not self.required or any(name.startswith(prefix) for name in self.required)

    def done(self, row: Row) -> bool:
        """Whether every wanted label was set, so that a parser may stop."""
        return bool(self.required) and all(map(row.was_set, self.required))

    def skip(self, row: Row) -> bool:
        """Whether a parser need not even begin."""
        return self.no_labels or self.done(row)

    def passes(self, row: Row, name: str) -> bool:
        """Whether a row whose label `name` was just set may still come through; it is dropped at once if not."""
        test = self.filters.get(name)
        return test is None or test.apply(row)


ALL = Hints()
"""No hints: every label is wanted, no line is dropped early."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a metric query wants of its pipeline besides samples.

    Attributes:
        groups: labels of the range function's grouping, or of a `sum` right around it.
        without: they are those of `without`.
        no_labels: there is such a grouping, and it names no labels.
        names: labels read after the pipeline: unwrap's, those of the filters after it.
        filters: label -> the one filter after unwrap, if it is a simple one.
    """

    groups: tuple[str, ...] = ()
    without: bool = False
    no_labels: bool = False
    names: tuple[str, ...] = ()
    filters: Mapping[str, RowTest] = field(default_factory=dict)


def hints_for(filters: Mapping[str, RowTest], names: Iterable[str], wanted: Wanted | None) -> Hints:
    """The hints of a pipeline.

    Args:
        filters: label -> the first simple filter on it.
        names: labels that the stages read.
        wanted: by a metric query; None for log queries, which show every label.
    """
    if wanted is None:
        return Hints(filters=filters)
    filters = {**wanted.filters, **filters}
    required = frozenset(_with_plain_names((*names, *wanted.names, *wanted.groups)))
    if wanted.no_labels:
        return Hints(required, not required, ERROR in required, filters if required else {})
    if wanted.without or not wanted.groups:
        return Hints(filters=filters)
    return Hints(required, preserve_error=ERROR in required)


def _with_plain_names(names: Iterable[str]) -> Iterable[str]:
    """Each name, and what a parser calls it before it knows that the name is taken."""
    for name in names:
        yield name
        if name.endswith(SUFFIX):
            yield name.removesuffix(SUFFIX)
