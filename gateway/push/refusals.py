"""Texts of refused entries as Loki words, groups and dates them, and the counts that go with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from storage.batch import I64, Batch

_SECOND = 1_000_000_000


SHOWN = 4
"""Times that refused rows are noted of one push and reason: who looks at them looks at no more."""


@dataclass(frozen=True, slots=True, eq=False)
class RefusedRows:
    """Which entries were refused for a reason, for who wants to see some of them.

    Attributes:
        batch: they are of.
        rows: int64[m], m > 0.
        told: the text for one of the rows.
    """

    batch: Batch
    rows: I64
    told: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Discard:
    """Entries that were refused for one reason, for loki_discarded_*_total.

    Attributes:
        reason: the metric's label.
        lines: entries.
        bytes: of lines and structured metadata.
        rows: some of them.
    """

    reason: str
    lines: int
    bytes: int
    rows: tuple[RefusedRows, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Mutation:
    """Entries that were changed for one reason, for loki_mutated_*_total.

    Attributes:
        reason: the metric's label.
        lines: entries.
        bytes: that were cut off.
    """

    reason: str
    lines: int
    bytes: int


@dataclass(slots=True)
class Refusals:
    """What validation refused so far: a text for the client, counts for the metrics.

    Attributes:
        sanitised: names and values of structured metadata that were changed instead.
    """

    sanitised: int = 0
    _texts: dict[str, int] = field(default_factory=dict)
    _counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    _rows: dict[str, list[RefusedRows]] = field(default_factory=dict)

    def count(self, reason: str, lines: int, size: int, rows: RefusedRows | None = None) -> None:
        """Counts `lines` entries of `size` bytes as refused for `reason`; `rows` says which they are."""
        seen = self._counts.get(reason, (0, 0))
        self._counts[reason] = (seen[0] + lines, seen[1] + size)
        if rows is not None:
            noted = self._rows.setdefault(reason, [])
            if len(noted) < SHOWN:
                noted.append(rows)

    def tell(self, text: str, times: int = 1) -> None:
        """Adds `times` refusals that have this text."""
        self._texts[text] = self._texts.get(text, 0) + times

    def text(self) -> str | None:
        """The answer: the text alone if there is one, else groups of equal texts in order of appearance.

        Loki's order is that of a Go map: another each time.
        """
        if not self._texts:
            return None
        if len(self._texts) == 1 and 1 in self._texts.values():
            return next(iter(self._texts))
        return "; ".join(f"{times} errors like: {text}" for text, times in self._texts.items())

    def discards(self) -> Iterable[Discard]:
        """What was refused, by reason."""
        return (
            Discard(reason, lines, size, tuple(self._rows.get(reason, ())))
            for reason, (lines, size) in self._counts.items()
        )


def rfc3339(ns: int) -> str:
    """A time as Go's time.RFC3339 prints it in UTC, to the second: `2026-11-21T10:00:00Z`."""
    return _utc(ns // _SECOND).strftime("%Y-%m-%dT%H:%M:%SZ")


def go_time(ns: int) -> str:
    """A time as Go's time.Time.String prints it in UTC: `2026-11-21 10:00:00.5 +0000 UTC`."""
    seconds, rest = divmod(ns, _SECOND)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{_utc(seconds).strftime('%Y-%m-%d %H:%M:%S')}{fraction} +0000 UTC"


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def byte_size(size: int) -> str:
    """A size in the largest binary unit that divides it: `3MB`, `1500B` (datasize, as Loki's limit texts use it)."""
    if size == 0:
        return "0B"
    for unit, name in (
        (1 << 60, "EB"),
        (1 << 50, "PB"),
        (1 << 40, "TB"),
        (1 << 30, "GB"),
        (1 << 20, "MB"),
        (1024, "KB"),
    ):
        if size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size}B"
