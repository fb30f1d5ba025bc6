"""What Weir tells of a query that was to be explained: `data.explain` of its answer. docs/api.md has the meanings."""

from __future__ import annotations

import msgspec


class StagePlan(msgspec.Struct, frozen=True):
    """A stage of the pipeline; `labels` are those that a parser looks for, None: all of them or no parser."""

    stage: str
    by: str
    labels: list[str] | None = None
    literals: list[list[str]] = []


class Plan(msgspec.Struct, frozen=True):
    """How the entries of one selector are dealt with."""

    of: str
    selector: str
    stages: list[StagePlan]
    made: str


class Streams(msgspec.Struct, frozen=True):
    """The tenant's streams."""

    considered: int
    matching: int


class Blocks(msgspec.Struct, frozen=True):
    """The tenant's files; `skipped` by reason."""

    considered: int
    skipped: dict[str, int]


class Units(msgspec.Struct, frozen=True, rename="camel"):
    """Pieces of blocks and of memory: of which lines were read, of which not, and what was left out, by reason."""

    considered: int
    read: dict[str, int]
    lines_not_read: dict[str, int]
    skipped: dict[str, int]


class Lines(msgspec.Struct, frozen=True, rename="camel"):
    """Lines read, their bytes, and bytes taken from disk."""

    read: int
    bytes: int
    compressed_bytes: int


class Step(msgspec.Struct, frozen=True):
    """Entries that came to a step."""

    step: str
    entries: int


class Stage(msgspec.Struct, frozen=True, rename="camel"):
    """Seconds of a stage: of all threads that worked on it, and of their processors; None: those were not measured."""

    stage: str
    seconds: float
    cpu_seconds: float | None = None


class Explanation(msgspec.Struct, frozen=True):
    """All of it."""

    query: str
    plans: list[Plan]
    streams: Streams
    blocks: Blocks
    units: Units
    lines: Lines
    entries: list[Step]
    stages: list[Stage]
