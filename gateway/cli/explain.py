"""An explanation of a query as a text to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.client.explanation import Explanation, Plan, StagePlan

_REASONS = {
    "blocks": "of blocks",
    "memory": "of memory",
    "metadataSufficed": "only structured metadata was wanted",
    "timesSufficed": "times were enough",
    "totalsSufficed": "totals of a footer were enough",
    "keptSufficed": "what an earlier query came to was enough",
    "outOfTime": "out of the time range",
    "noMatchingStream": "no matching stream in the time range",
    "limitReached": "the limit was reached without them",
    "notComeTo": "the query had ended before",
}
"""The server's names, for a person; one that is not known is shown as it is."""

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def explanation_lines(explanation: Explanation) -> Iterator[str]:
    """The rows of the text."""
    yield f"Query     {explanation.query}"
    for plan in explanation.plans:
        yield from _plan(plan)
    streams, blocks, units, lines = explanation.streams, explanation.blocks, explanation.units, explanation.lines
    yield ""
    yield f"Streams   {streams.matching:,} of {streams.considered:,} match"
    yield f"Blocks    {blocks.considered:,}"
    yield from _counts("skipped", blocks.skipped)
    yield f"Units     {units.considered:,} pieces of the other blocks and of memory"
    yield from _counts("read", units.read)
    yield from _counts("lines not read", units.lines_not_read)
    yield from _counts("skipped", units.skipped)
    yield f"Lines     {lines.read:,} read, {size_text(lines.bytes)}; {size_text(lines.compressed_bytes)} from disk"
    yield ""
    yield from _table(("Entries", ""), [(each.step, f"{each.entries:,}") for each in explanation.entries])
    yield ""
    stages = explanation.stages
    taken = [(each.stage, each.seconds, each.cpu_seconds or 0.0) for each in stages]
    taken.append(("all threads", sum(each[1] for each in taken), sum(each[2] for each in taken)))
    rows = [(name, f"{seconds * 1000:,.1f}", f"{cpu * 1000:,.1f}") for name, seconds, cpu in taken]
    if stages and all(each.cpu_seconds is None for each in stages):
        yield from _table(("Time", "ms"), [row[:2] for row in rows])
    else:
        yield from _table(("Time", "ms", "CPU ms"), rows)


def _plan(plan: Plan) -> Iterator[str]:
    yield ""
    yield f"Plan of   {plan.of}"
    rows = [(plan.selector, "index", ""), *((each.stage, each.by, _notes(each)) for each in plan.stages)]
    yield from (f"  {row}" for row in _table(None, rows))
    if plan.made == "row by row":
        yield "  What comes through is made row by row."


def _notes(stage: StagePlan) -> str:
    notes = []
    if stage.labels is not None:
        notes.append(f"looks for {', '.join(stage.labels) or 'no label'}")
    notes += [f"line needs {' or '.join(map(repr, group))}" for group in stage.literals]
    return "; ".join(notes)


def _counts(what: str, counts: Mapping[str, int]) -> Iterator[str]:
    """A row for each count that is not 0."""
    for name, count in counts.items():
        if count:
            yield f"  {count:>9,} {what}: {_REASONS.get(name, name)}"


def _table(head: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with columns under each other; numbers on the right."""
    every = [*([head] if head is not None else []), *rows]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    for row in every:
        cells = [row[0].ljust(widths[0])]
        for cell, width in zip(row[1:], widths[1:], strict=True):
            cells.append(cell.ljust(width) if head is None else cell.rjust(width))
        yield "  ".join(cells).rstrip()


def size_text(size: int) -> str:
    """A number of bytes, for a person."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_SIZES) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:,.1f} {_SIZES[unit]}" if unit else f"{size} B"
