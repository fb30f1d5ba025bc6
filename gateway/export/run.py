"""An export at work: records and marks in pieces, made one after the other on a thread.

Invariant: the last mark of an export that came to its end says `complete`, and no other does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from config import Limits
from gateway.export.asked import Asked
from gateway.query.limits import Sight, check_query
from gateway.state import ReadStore
from logql import Reading, Source
from logql.position import Position
from logql.walk import PIECE, Read, walk
from storage.errors import CorruptBlock
from storage.memory import give_back

_GIVEN_BACK = 64 << 20
"""Bytes of lines after which memory is given back: it takes some ms, and an export of them most of a second."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Who reads, and how far.

    Attributes:
        store: of all tenants, or of those that are asked.
        tenant: who asks.
        limits: the tenant's.
        now: ns.
        piece: bytes of lines that are read together, about.
    """

    store: ReadStore
    tenant: str
    limits: Limits
    now: int
    piece: int = PIECE

    def source(self) -> Source:
        """What may be read."""
        if not self.limits.max_query_lookback:
            return self.store
        return Sight(self.store, self.now - self.limits.max_query_lookback)


class Export:
    """One export.

    Attributes:
        lines: records made so far.
        word: what begins a mark in CSV.
    """

    def __init__(
        self, asked: Asked, reach: Reach, check: Callable[[], None], met_damage: Callable[[CorruptBlock], bool]
    ) -> None:
        """Nothing is read yet.

        Args:
            asked: what is wanted.
            reach: who asks.
            check: raises to stop; called often.
            met_damage: takes a damaged block out of the way; whether it was one.

        Raises:
            LimitError, BadParameter: the query has too many or too few matchers.
        """
        check_query(asked.expr, 0, reach.limits)
        self.lines = 0
        self.word = secrets.token_hex(8)
        self._asked = asked
        self._reach = reach
        self._check = check
        self._met_damage = met_damage
        self._at = asked.span.after
        self._more = False
        self._read = Read()
        self._given_back = 0

    def so_far(self) -> Reading:
        """What was read up to now. For any thread."""
        return self._read.sum

    def pieces(self) -> Iterator[bytes]:
        """The body. With a cursor it has no head, so that it can be put behind what came before.

        Raises:
            StorageError: what it reads cannot be read.
        """
        layout, span, reach = self._asked.layout, self._asked.span, self._reach
        if span.after is None and (head := layout.head()):
            yield head
        try:
            while not self._more:
                try:
                    yield from self._walked()
                    break
                except CorruptBlock as error:
                    if not self._met_damage(error):
                        raise
        finally:
            give_back()  # what many pieces were made in
        warnings = reach.store.missing(reach.tenant, span.start, span.end)
        told: dict[str, Any] = {"complete": True, "more": self._more}
        yield self._mark(told | ({"warnings": list(warnings)} if warnings else {}))

    def failed(self, text: str) -> bytes:
        """The last mark of an export that goes wrong."""
        return self._mark({"error": text})

    def _walked(self) -> Iterator[bytes]:
        """Records from where it is, as one view of the store has them."""
        asked, reach = self._asked, self._reach
        left = asked.span.limit - self.lines if asked.span.limit else 0
        span = replace(asked.span, after=self._at, limit=left)
        found = walk(reach.source(), reach.tenant, asked.expr, span, self._check, piece=reach.piece, read=self._read)
        for piece in found:
            done = 0
            for records, upto in asked.layout.records(piece.entries):
                self.lines += upto - done
                done = upto
                self._at = piece.position(upto - 1)
                yield records + (b"" if upto == len(piece.entries) else self._mark({}))
                self._check()
            self._at = piece.last()
            self._more = piece.cut
            del piece  # before the next is made
            self._give_back()
            if not self._more:
                yield self._mark({})

    def _give_back(self) -> None:
        """Returns what allocators keep of pieces that are sent, now and then: there is one of them a thread."""
        if self._read.sum.line_bytes - self._given_back >= _GIVEN_BACK:
            self._given_back = self._read.sum.line_bytes
            give_back()

    def _mark(self, told: dict[str, Any]) -> bytes:
        if not self._asked.marks:
            return b""
        at: Position | None = self._at
        where = {} if at is None else {"cursor": str(at), "ts": str(at.ts)}
        return self._asked.layout.mark({**where, "lines": self.lines, **told}, self.word)
