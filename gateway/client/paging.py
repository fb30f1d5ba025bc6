"""A log query of any length as a run of pages, each a query_range call.

Invariant: as long as the server answers the first N entries in a fixed order, no line is lost and none comes twice,
whatever number of them share a timestamp. The walk is logcli's: the next page begins at the last timestamp seen
(included), asks for as many more entries as are known to stand there, and drops those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from gateway.client.answers import QueryAnswer, Series, Streams
from gateway.client.errors import BadAnswer, ClientError, CutShort
from gateway.client.lines import Line

Fetch: TypeAlias = Callable[[int, int, int], QueryAnswer]
"""(start ns, end ns, limit) -> answer, with start <= ts < end."""


@dataclass(frozen=True, slots=True)
class Page:
    """New lines in the direction asked for, and what the server had to say about them."""

    lines: list[Line]
    warnings: list[str]


def pages(fetch: Fetch, start: int, end: int, *, limit: int, batch: int, forward: bool) -> Iterator[Page | Series]:
    """Pages until `limit` lines have come or there are no more; a metric query's answer comes as it is, once.

    Args:
        fetch: one call to the server.
        start: first ns of the window, included.
        end: last ns of the window, excluded.
        limit: most lines over all pages; 0 for all of them.
        batch: most new lines to ask for at once.
        forward: oldest first.

    Raises:
        CutShort: a call failed after the first page.
        ClientError: the first call failed.
    """
    total = 0
    edge: int | None = None
    seen: Counter[Line] = Counter()
    while not limit or total < limit:
        wanted = min(batch, limit - total) if limit else batch
        try:
            answer = fetch(start, end, wanted + seen.total())
            if isinstance(answer, Series):
                yield answer
                return
            lines = _in_order(answer, forward=forward)
            if edge is not None:
                # A server that does not heed the window would send the same page for ever.
                lines = [line for line in lines if start <= line.ts < end]
        except ClientError as error:
            if edge is None:
                raise
            raise CutShort(_cut_text(total, edge, seen, error)) from error
        new = _unseen(lines, seen)
        if limit:
            del new[limit - total :]
        if not new:
            if answer.warnings or edge is None:
                yield Page([], answer.warnings)
            return
        yield Page(new, answer.warnings)
        total += len(new)
        if new[-1].ts != edge:
            edge = new[-1].ts
            seen = Counter()
        seen.update(line for line in new if line.ts == edge)
        start, end = (edge, end) if forward else (start, edge + 1)


def _in_order(answer: Streams, *, forward: bool) -> list[Line]:
    """Lines of all streams merged by time; the server's order stands among equal times."""
    lines: list[Line] = []
    for stream in answer.streams:
        labels = tuple(sorted(stream.stream.items()))
        try:
            lines.extend(Line(int(entry.ts), labels, entry.line) for entry in stream.values)
        except ValueError as error:
            raise BadAnswer(f"the answer holds a timestamp that is no number: {error}") from error
    lines.sort(key=lambda line: line.ts if forward else -line.ts)
    return lines


def _unseen(lines: list[Line], seen: Counter[Line]) -> list[Line]:
    """Lines without those printed before, each taken off as often as it was printed.

    Counting matters: `line_format` can make several stored entries look the same.
    """
    if not seen:
        return lines
    left = seen.copy()
    new: list[Line] = []
    for line in lines:
        if left[line] > 0:
            left[line] -= 1
        else:
            new.append(line)
    return new


def _cut_text(total: int, edge: int, seen: Counter[Line], error: ClientError) -> str:
    return f"cut short after {total} lines, {seen.total()} of them at the last timestamp {edge}: {error}"
