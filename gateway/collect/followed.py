"""One file that is followed: what of it can be taken now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from gateway.client.importing.when import Rule as TimeRule
from gateway.client.importing.when import choose_rule, known_rules
from gateway.collect.parse import TEXT, Parsed, form_of, parse
from gateway.collect.positions import Position
from gateway.collect.rows import Entries
from gateway.collect.rules import ZONE, Rule
from gateway.collect.sources import PackedFile, PlainFile

_SAMPLE = 200
"""Lines that are looked at for where they say their time."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read.

    Attributes:
        piece: bytes that are read at once.
        most: bytes of a line; a longer one is cut.
        settle: seconds after which what may go on is taken for whole.
        rotate_wait: seconds that a file without its name is read on.
    """

    piece: int
    most: int
    settle: float
    rotate_wait: float


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """What was read of a file.

    Attributes:
        data: the bytes that are done with.
        entries: in them.
    """

    data: bytes
    entries: Sequence[Entries]


@dataclass(slots=True, eq=False)
class Followed:
    """A file.

    Attributes:
        position: behind what was taken of it.
        rule: how it is read.
        source: it, open; None: it is not, as nothing is to be read, or it was not found.
        path: the name that leads to it now.
        is_gone: there is none.
        is_ending: what it has now is all that is wanted.
    """

    position: Position
    rule: Rule
    source: PlainFile | PackedFile | None = None
    path: str = ""
    is_gone: bool = False
    is_ending: bool = False
    _looked: int = -1
    _grown: list[tuple[int, float]] = field(default_factory=list)
    _again: float = 0.0
    _times: TimeRule | None = None
    _knows_times: bool = False

    @property
    def offset(self) -> int:
        """Bytes that were taken."""
        return self.position.print.offset

    def opened(self, source: PlainFile | PackedFile | None) -> None:
        """The file is open now, or closed."""
        if self.source is not None:
            self.source.close()
        self.source = source
        self._looked, self._again = -1, 0.0
        self._grown.clear()

    def time_rule(self, entries: Sequence[Entries]) -> TimeRule | None:
        """Where lines say their time, as the first of them tell."""
        if not self.rule.line_times or self.position.form != TEXT:
            return None
        if not self._knows_times and entries:
            self._times = choose_rule(known_rules(ZONE, time.time_ns()), _sample(entries[0]))
            self._knows_times = True
        return self._times

    def read(self, reading: Reading, now: float) -> Piece | None:
        """What can be taken, None for nothing now; `take` takes it.

        Args:
            reading: how.
            now: time.monotonic().

        Raises:
            Changed, Damaged: as of the sources.
            OSError: it cannot be read.
        """
        source = self.source
        if source is None:
            return None
        size = source.size
        if size is not None and (not self._grown or self._grown[-1][0] != size):
            self._grown.append((size, now))
        is_over = self._is_over(reading, now)
        if size is not None and size == self._looked and not is_over and not 0 < self._again <= now:
            return None
        piece, chunk, is_end = self._parsed(source, reading.piece, reading, now, is_over=is_over)
        if not piece.size and len(chunk) >= reading.piece and reading.most > reading.piece:
            piece, chunk, is_end = self._parsed(source, reading.most, reading, now, is_over=is_over)
        if not piece.size and len(chunk) >= reading.most:
            # A line, or a record, that is longer than is held.
            piece = parse(chunk, self.position.form or TEXT, self.rule.multiline, 0, is_last=True)
        self._looked = (size if size is not None else -1) if is_end else -1
        is_waiting = is_end and piece.size < len(chunk) and (self.rule.multiline or self.position.form != TEXT)
        self._again = now + reading.settle if is_waiting else 0.0
        return Piece(chunk[: piece.size], piece.entries) if piece.size else None

    def _parsed(
        self, source: PlainFile | PackedFile, most: int, reading: Reading, now: float, *, is_over: bool
    ) -> tuple[Parsed, bytes, bool]:
        """What is in the next bytes, the bytes, and whether they are all there are."""
        known = source.size
        chunk = source.peek(most)
        size = known if known is not None else source.size
        is_end = size is not None and self.offset + len(chunk) >= size
        is_last = is_end and (is_over or self.position.packed)
        if not self._has_form(chunk, is_last=is_last):
            return Parsed(0), chunk, is_end
        mark = len(_BOM) if self.offset == 0 and chunk.startswith(_BOM) else 0
        settled = self._settled(reading, now) - self.offset - mark
        parsed = parse(chunk[mark:], self.position.form, self.rule.multiline, settled, is_last=is_last)
        return (Parsed(parsed.size + mark, parsed.entries) if parsed.size else parsed), chunk, is_end

    def _has_form(self, chunk: bytes, *, is_last: bool) -> bool:
        """Whether it is known what the file is; its first line that says something tells."""
        if not self.position.form:
            form = self.rule.form
            if not form:
                text = chunk.removeprefix(_BOM).lstrip(b"\r\n")
                line, newline, _ = text.partition(b"\n")
                if not (newline or is_last) or not line:
                    return False
                form = form_of(line.rstrip(b"\r"))
            self.position = msgspec.structs.replace(self.position, form=form)
        return True

    def take(self, piece: Piece) -> None:
        """A piece is in a batch."""
        assert self.source is not None
        print_, _ = self.position.print.moved(piece.data, self.source.before)
        self.source.take(piece.data)
        self.position = msgspec.structs.replace(self.position, print=print_)

    def is_finished(self, reading: Reading, now: float) -> bool:
        """Whether all of it was taken and nothing will come."""
        source = self.source
        if source is None or (size := source.size) is None:
            return False
        return self.offset >= size and (self.position.packed or self._is_over(reading, now))

    @property
    def is_caught_up(self) -> bool:
        """Whether all of it that can be taken now was."""
        return self.source is None or (self.source.size is not None and self.source.size == self._looked)

    def _is_over(self, reading: Reading, now: float) -> bool:
        if not (self.is_gone or self.is_ending) or not self._grown:
            return False
        return self.is_ending or now - self._grown[-1][1] >= reading.rotate_wait

    def _settled(self, reading: Reading, now: float) -> int:
        """The size that the file had a while ago."""
        while len(self._grown) > 1 and self._grown[1][1] <= now - reading.settle:
            del self._grown[0]
        size, when = self._grown[0] if self._grown else (0, now)
        return size if when <= now - reading.settle else 0


def _sample(entries: Entries) -> list[str]:
    """The beginnings of the first lines."""
    ends = entries.lengths[:_SAMPLE].cumsum().tolist()
    return [entries.text[start:end].decode("utf-8", "replace") for start, end in pairwise([0, *ends])]
