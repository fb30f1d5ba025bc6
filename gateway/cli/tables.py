"""Lists as commands print them: a table for people, an object a line for programs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from typing import Annotated, TypeAlias

import typer


class ListForm(StrEnum):
    """How a list is printed."""

    DEFAULT = "default"
    JSONL = "jsonl"


ListOutput: TypeAlias = Annotated[
    ListForm,
    typer.Option(
        "--output", "-o", metavar="|".join(ListForm), help="`default`: a table; `jsonl`: a JSON object a line."
    ),
]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Collection[str] = ()) -> Iterator[str]:
    """Rows under their heads, as lines of text; the columns `numbers` stand at the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if name in numbers else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()
