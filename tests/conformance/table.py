"""The table of areas, and the section of COMPATIBILITY.md made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.cases import areas, cases
from tests.conformance.listed import Listed

DOCUMENT = Path(__file__).parent.parent.parent / "COMPATIBILITY.md"
BEGIN = "<!-- written by `make conformance`: begin -->"
END = "<!-- written by `make conformance`: end -->"


@dataclass(frozen=True, slots=True)
class Row:
    """One area; `passed` is None where it is not run, and `note` says why."""

    area: str
    passed: int | None
    total: int
    note: str = ""


def rows(listed: Listed, failed: Collection[str]) -> list[Row]:
    """The table, given the ids that failed."""
    table = []
    for area in areas():
        total = len(cases(area))
        if area in listed.not_run:
            table.append(Row(area, None, total, f"not run: {listed.not_run[area]}"))
            continue
        reasons = Counter(listed.cases.get(case.id, "") for case in cases(area) if case.id in failed)
        note = "; ".join(f"{reason} ({count})" for reason, count in reasons.items() if reason)
        table.append(Row(area, total - reasons.total(), total, note))
    return table


def plain(table: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [f"{row.area:<22} {_of(row):>9}  {row.note}".rstrip() for row in [*table, _total(table)]]
    return "\n".join(lines)


def section(table: Sequence[Row]) -> str:
    """The table as Markdown."""
    lines = ["| area | passed | what does not |", "|---|---|---|"]
    lines += [f"| {row.area} | {_of(row)} | {row.note} |" for row in table]
    total = _total(table)
    return "\n".join([*lines, f"| **all that are run** | **{_of(total)}** | |"])


def in_document(text: str) -> str:
    """The generated section as it stands in a document.

    Raises:
        ValueError: the marks are not there.
    """
    return text[_inside(text)].strip()


def with_section(text: str, made: str) -> str:
    """The document with another generated section.

    Raises:
        ValueError: the marks are not there.
    """
    inside = _inside(text)
    return f"{text[: inside.start]}\n{made}\n{text[inside.stop :]}"


def _inside(text: str) -> slice:
    return slice(text.index(BEGIN) + len(BEGIN), text.index(END))


def _of(row: Row) -> str:
    return f"{'-' if row.passed is None else row.passed}/{row.total}"


def _total(table: Sequence[Row]) -> Row:
    run = [row for row in table if row.passed is not None]
    return Row("all that are run", sum(row.passed or 0 for row in run), sum(row.total for row in run))
