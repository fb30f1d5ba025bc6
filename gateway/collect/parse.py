"""What a piece of a file says: how far it can be taken, and the entries up to there.

A function of the bytes and of what is known to be whole; what is not whole yet is read again with what comes behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.collect.containers import STREAMS, Streamed, cri_rows, docker_rows, is_cri, is_docker
from gateway.collect.multiline import Multiline
from gateway.collect.rows import I64, Entries, Rows, entries_of, split_lines

TEXT, DOCKER, CRI = "text", "docker", "cri"


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """What was made of a piece.

    Attributes:
        size: bytes of it that are done with.
        entries: by stream.
    """

    size: int
    entries: Sequence[Entries] = ()


_NOTHING = Parsed(0)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A stream's records; `sure` of them will not change with what comes."""

    name: str
    rows: Rows
    sure: int


def form_of(line: bytes) -> str:
    """What a log is, by its first line."""
    return DOCKER if is_docker(line) else CRI if is_cri(line) else TEXT


def parse(chunk: bytes, form: str, multiline: Multiline | None, settled: int, *, is_last: bool) -> Parsed:
    """Takes what is whole.

    Args:
        chunk: bytes of a file, from where a record begins.
        form: TEXT, DOCKER or CRI.
        multiline: which lines are one record; None: each is one.
        settled: where what came a moment ago begins: records that end before it are not waited for any longer.
        is_last: nothing comes behind it, or no more of it is to be held: all of it is taken.
    """
    whole = chunk if is_last else chunk[: chunk.rfind(b"\n") + 1]
    if not whole:
        return _NOTHING
    if form == TEXT and multiline is None:
        rows = split_lines(whole)
        return Parsed(len(whole), [entries_of(rows, len(rows), "", are_lines=True)])
    if form == TEXT:
        streams = [Streamed(0, split_lines(whole), is_open=False)]
    else:
        streams = (docker_rows if form == DOCKER else cri_rows)(whole)
    parts = [_part(each, multiline, len(whole) if is_last else settled) for each in streams]
    size = _end(parts, len(whole))
    entries = [entries_of(part.rows, int(np.searchsorted(part.rows.first, size)), part.name) for part in parts]
    return Parsed(size, [each for each in entries if len(each)])


def _part(streamed: Streamed, multiline: Multiline | None, settled: int) -> _Part:
    rows, held = streamed.rows, int(streamed.is_open)
    if multiline is not None:
        rows, more = multiline.records(rows)
        held = max(held, more)
    sure = max(len(rows) - held, int(np.searchsorted(rows.last, settled, side="right")))
    return _Part(STREAMS[streamed.number], rows, sure)


def _end(parts: Sequence[_Part], size: int) -> int:
    """How far all is sure: no record begins before it and ends, or may yet end, behind it."""
    end = size
    for part in parts:
        if part.sure < len(part.rows):
            end = min(end, int(part.rows.first[part.sure]))
    while True:
        spanning = [_first_over(part.rows.first, part.rows.last, end) for part in parts]
        if min(spanning, default=end) >= end:
            return end
        end = min(spanning)


def _first_over(first: I64, last: I64, end: int) -> int:
    """Where the record begins that goes over `end`; else `end`."""
    before = int(np.searchsorted(first, end))
    over = np.flatnonzero(last[:before] > end)
    return int(first[over[0]]) if len(over) else end
