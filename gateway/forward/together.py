"""Single events that one turn of the event loop brought, over all connections, mapped as one message.

What an event costs alone is mostly the message's, not its own. What is made of them is cut up again, for each chunk is
stored under its own id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.push.threads import INLINE_BYTES
from storage.batch import Batch, Column, Texts
from storage.rows import renumber, take_rows


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """What a message, or several as one, are in the store.

    Attributes:
        tenant: whose they are.
        batch: one row for each entry that came, in order.
    """

    tenant: str
    batch: Batch


MapAlike = Callable[[bytes, bytes, int], Entries | None]
"""The entries of a tag, and how many they are -> what becomes of them; None: not every one becomes a row of one tenant,
and nothing has been counted."""


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    entries: bytes
    rows: Sequence[int]
    future: asyncio.Future[tuple[str, list[Batch]] | None]


class Together:
    """Events that wait for the end of this turn of the event loop. Used on the loop's thread alone."""

    def __init__(self, map_alike: MapAlike) -> None:
        self._map_alike = map_alike
        self._waiting: dict[bytes, list[_Share]] = {}

    def put(self, tag: bytes, entries: bytes, rows: Sequence[int]) -> asyncio.Future[tuple[str, list[Batch]] | None]:
        """Maps entries with those of other connections.

        Args:
            tag: of all.
            entries: concatenated.
            rows: how many of them go into each batch.

        Returns:
            The tenant and the batches; None where they must be mapped one by one.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._map)
        share = _Share(entries, rows, loop.create_future())
        self._waiting.setdefault(tag, []).append(share)
        return share.future

    def _map(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for tag, shares in waiting.items():
            for group in _portions(shares):
                self._map_group(tag, group)

    def _map_group(self, tag: bytes, shares: Sequence[_Share]) -> None:
        counts = [count for share in shares for count in share.rows]
        try:
            found = self._map_alike(tag, b"".join([share.entries for share in shares]), sum(counts))
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            for share in shares:
                if not share.future.done():
                    share.future.set_exception(error)
            return
        batches = list(cut(found.batch, counts)) if found is not None else []
        at = 0
        for share in shares:
            own = batches[at : at + len(share.rows)]
            at += len(share.rows)
            if not share.future.done():  # else the connection is gone
                share.future.set_result(None if found is None else (found.tenant, own))


def _portions(shares: Sequence[_Share]) -> Iterator[list[_Share]]:
    """The shares in order, in groups that the event loop may map itself."""
    group: list[_Share] = []
    size = 0
    for share in shares:
        if group and size + len(share.entries) > INLINE_BYTES:
            yield group
            group, size = [], 0
        group.append(share)
        size += len(share.entries)
    yield group


def cut(batch: Batch, counts: Sequence[int]) -> Iterator[Batch]:
    """The rows of a batch as several, each with the label sets that it has rows of.

    Args:
        batch: with sum(counts) rows.
        counts: rows of each, none of them 0.
    """
    if len(counts) == 1:
        yield batch
        return
    at = 0
    for count in counts:
        yield _row(batch, at) if count == 1 and batch.rest is None else _rows(batch, at, count)
        at += count


def _rows(batch: Batch, first: int, count: int) -> Batch:
    taken = take_rows(batch, np.arange(first, first + count))
    used = np.unique(taken.stream)
    numbers = np.zeros(len(batch.streams), np.int32)
    numbers[used] = np.arange(len(used))
    return renumber(taken, [batch.streams[number] for number in used.tolist()], numbers)


def _row(batch: Batch, row: int) -> Batch:
    """One row as a view."""
    columns = {}
    for name, column in batch.metadata.items():
        code = int(column.codes[row])
        if code >= 0:
            columns[name] = Column(_FIRST, _one(column.values, code))
    stream = int(batch.stream[row])
    return Batch((batch.streams[stream],), _FIRST, batch.ts[row : row + 1], _one(batch.lines, row), columns)


def _one(values: Texts, at: int) -> Texts:
    start, end = values.offsets[at : at + 2].tolist()
    return Texts(values.data[start:end], np.array([0, end - start]))


_FIRST = np.zeros(1, np.int32)
