"""Weir's export as the command line takes it: whole records up to a mark at a time, and on from there after a cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec

from gateway.client.connection import Connection, Incoming
from gateway.client.errors import BadAnswer, ClientError, CutShort, ServerRefused, Unreachable

TRIES = 10
"""Attempts to go on, one after the other without a mark between them, before it is given up."""

FIRST_WAIT = 0.5
LONGEST_WAIT = 10.0
"""Seconds before the first attempt; they double up to the longest."""

_BUSY = frozenset({429, 502, 503, 504})
"""Answers of a server, or of a proxy before it, that is about to be there."""

_NDJSON_MARK = b'{"mark":'
_MARK_HEADER = "X-Weir-Mark"


class Mark(msgspec.Struct, frozen=True):
    """How far an export is."""

    lines: int
    cursor: str | None = None
    ts: str | None = None
    complete: bool = False
    more: bool = False
    warnings: list[str] = []
    error: str | None = None


class _Marked(msgspec.Struct):
    mark: Mark


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be exported.

    Attributes:
        query: a log query.
        start: ns, included.
        end: ns, excluded.
        format: ndjson or csv.
        forward: oldest first.
        together: all labels of a line in one object.
        columns: of CSV, labels with a column each.
        limit: lines at most; 0: all.
        cursor: where to go on; None: at the beginning.
    """

    query: str
    start: int
    end: int
    format: str
    forward: bool = True
    together: bool = False
    columns: tuple[str, ...] = ()
    limit: int = 0
    cursor: str | None = None

    def params(self) -> list[tuple[str, str]]:
        """As the server wants them."""
        params = [
            ("query", self.query),
            ("start", str(self.start)),
            ("end", str(self.end)),
            ("format", self.format),
            ("direction", "forward" if self.forward else "backward"),
            ("labels", "together" if self.together else "apart"),
        ]
        if self.columns:
            params.append(("columns", ",".join(self.columns)))
        if self.limit:
            params.append(("limit", str(self.limit)))
        if self.cursor is not None:
            params.append(("cursor", self.cursor))
        return params


@dataclass(frozen=True, slots=True)
class Part:
    """Records up to a mark; none of an export comes twice.

    Attributes:
        records: bytes of NDJSON or CSV.
        mark: behind them; its `lines` are those of the whole export.
    """

    records: bytes
    mark: Mark


@dataclass(frozen=True, slots=True)
class Pause:
    """The connection is gone; `seconds` from now another is tried."""

    seconds: float
    reason: str


def export(
    connection: Connection, wanted: Wanted, sleep: Callable[[float], None], done: int = 0
) -> Iterator[Part | Pause]:
    """An export up to its last mark, whatever cuts there are, with a Pause before each attempt to go on.

    Args:
        connection: to a Weir server.
        wanted: what.
        sleep: waits so many seconds.
        done: lines that came before `wanted.cursor`, of an export that is gone on with.

    Raises:
        CutShort: it was cut and could not go on, or the server says that it cannot.
        ClientError: it did not begin.
    """
    failures, has_begun, first = 0, False, done
    while True:
        try:
            with connection.stream(
                "weir/v1/export", replace(wanted, limit=_left(wanted, done - first)).params()
            ) as incoming:
                before = done
                for part in parts(incoming, wanted.format):
                    mark = part.mark
                    done, failures, has_begun = before + mark.lines, 0, True
                    if mark.error is not None:
                        raise CutShort(f"cut short after {done} lines: {mark.error}")
                    if mark.cursor is not None:
                        wanted = replace(wanted, cursor=mark.cursor)
                    yield Part(part.records, msgspec.structs.replace(mark, lines=done))
                    if mark.complete:
                        return
            raise Unreachable("the export ended before its last mark")
        except (Unreachable, ServerRefused) as error:
            failures += 1
            if not has_begun:
                raise
            if failures > TRIES or not _may_come_back(error):
                raise CutShort(f"cut short after {done} lines: {error}") from error
            wait = min(FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT)
            yield Pause(wait, str(error))
            sleep(wait)


def _left(wanted: Wanted, done: int) -> int:
    return wanted.limit - done if wanted.limit else 0


def _may_come_back(error: ClientError) -> bool:
    return not isinstance(error, ServerRefused) or error.status in _BUSY


def parts(incoming: Incoming, written: str) -> Iterator[Part]:
    """The records of an answer, mark by mark; what comes after the last whole mark is left out.

    Raises:
        BadAnswer: there are no marks in it.
    """
    csv = written == "csv"
    word = incoming.headers.get(_MARK_HEADER, "") if csv else ""
    if csv and not word:
        raise BadAnswer("the answer is no export: its header X-Weir-Mark is missing")
    start = word.encode() + b"," if csv else _NDJSON_MARK
    # A mark begins a line; no record of NDJSON begins so, and no line of a log knows the word of CSV.
    sought = re.compile(rb"(?:\A|(?<=\n))" + re.escape(start) + rb"[^\n]*\n")
    held = bytearray()
    looked = 0
    for chunk in incoming.chunks:
        held += chunk
        while (found := sought.search(held, max(0, looked - 1))) is not None:
            yield Part(bytes(held[: found.start()]), _decoded(found[0], csv=csv))
            del held[: found.end()]
            looked = 0
        # From the last line on: it may be the beginning of a mark.
        looked = held.rfind(b"\n") + 1


def _decoded(raw: bytes, *, csv: bool) -> Mark:
    try:
        if csv:
            cell = raw.partition(b",")[2].strip()
            return msgspec.json.decode(cell[1:-1].replace(b'""', b'"'), type=Mark)
        return msgspec.json.decode(raw, type=_Marked).mark
    except msgspec.DecodeError as error:
        raise BadAnswer(f"the answer is no export: {error}") from error
