"""`/weir/v1/context`: the lines around an entry, in order, each with the cursor that names it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from gateway.export.asked import cursor_of
from gateway.export.run import Reach
from gateway.query.errors import BadParameter
from gateway.query.gojson import label_json, labels_json, line_json
from gateway.query.limits import check_query
from gateway.query.params import Form, first
from gateway.query.pool import Ticket
from gateway.query.request import json_response, read_form
from gateway.query.several import reader_of
from gateway.query.times import parse_int, parse_timestamp
from gateway.query.work import run_for
from gateway.state import Gateway
from logql import Budget, Direction, LogExpr, MatchOp, parse_log
from logql.position import Position
from logql.walk import Piece, Read, Span, walk
from storage.labels import labels_id

LINES = 10
"""Lines before and after, unless asked otherwise."""

_HOUR = 3_600_000_000_000
_REACHES = (_HOUR, 24 * _HOUR, 720 * _HOUR)
"""ns that are looked at one after the other, and everything at last: blocks far away cost time, and seldom matter."""
_EVER = 1 << 62
"""ns that no entry is away."""
_MOST = (1 << 63) - 1
_ROOM = 1 << 16
_PIECE = 1 << 20
_COPIES = 4
"""Times that a line is there at most: those before and after, each as it is written, and in the answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A look around.

    Attributes:
        expr: what is shown.
        anchor: the entry; None: the first one at `ts`.
        ts: ns.
        stream: id of the entry's stream, if it was named.
        alone: whether only lines of that stream are shown.
        before: lines before it at most.
        after: lines after it at most.
    """

    expr: LogExpr
    anchor: Position | None
    ts: int
    stream: int | None
    alone: bool
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Shown:
    """One line: its JSON and whether it is the entry that was asked for."""

    json: bytes
    is_anchor: bool


def read_context(form: Form, now: int) -> Asked:
    """What a request asks for; `now` in ns.

    Raises:
        BadParameter: a parameter cannot be used.
        LogQLError: the query cannot be parsed, or is no log query.
    """
    anchor = cursor_of(form)
    if anchor is None and not first(form, "ts"):
        raise BadParameter("say which entry: send its 'cursor', or 'ts'")
    try:
        ts = anchor.ts if anchor is not None else parse_timestamp(first(form, "ts"), now)
    except BadParameter as error:
        raise BadParameter(f"could not parse 'ts' parameter: {error}") from error
    of = first(form, "of") or "stream"
    if of not in ("stream", "all"):
        raise BadParameter(f"invalid of '{of[:60]}': it is stream or all")
    named = first(form, "stream")
    stream = _stream_id(named) if named else None
    if anchor is not None:
        stream = anchor.stream
    expr = parse_log(first(form, "query") or named)
    return Asked(expr, anchor, ts, stream, of == "stream", _count(form, "before"), _count(form, "after"))


def _stream_id(text: str) -> int:
    """The id of a label set that is written as a selector of nothing but `=`. Raises BadParameter, ParseError."""
    expr = parse_log(text)
    labels = tuple(sorted((matcher.name, matcher.value) for matcher in expr.matchers))
    if expr.stages or any(each.op is not MatchOp.EQ for each in expr.matchers) or len(dict(labels)) < len(labels):
        raise BadParameter('\'stream\' has to be a label set, like {app="web", env="prod"}')
    return labels_id(labels)


def _count(form: Form, name: str) -> int:
    text = first(form, name)
    value = parse_int(text, "Atoi") if text else LINES
    if value < 0:
        raise BadParameter(f"{name} must not be negative")
    return value


async def context(request: Request) -> Response:
    """The lines before and after an entry."""
    gateway: Gateway = request.app.state.gateway
    store, tenant = reader_of(request)
    form, now = await read_form(request), time.time_ns()
    accepted = request.headers.get("accept-encoding", "")
    reach = Reach(store, tenant, gateway.settings.limits_for(tenant), now)
    most = gateway.settings.query.max_memory // _COPIES

    def work(ticket: Ticket) -> Response:
        asked = read_context(form, now)
        check_query(asked.expr, asked.before + asked.after + 1, reach.limits)
        read = Read()
        ticket.so_far = lambda: read.sum
        return json_response(_body(around(asked, reach, ticket.check, read, most)), accepted)

    return await run_for(request, tenant, work)


def around(asked: Asked, reach: Reach, check: Callable[[], None], read: Read, most: int = 0) -> list[Shown]:
    """The lines, oldest first; of `most` bytes before and as many after, 0: of any number.

    Raises:
        LimitError: they are more.
        BadParameter: lines of one stream are wanted, and nothing says of which.
    """
    only = asked.stream if asked.alone else None

    def found(span: Span) -> Iterator[Piece]:
        return walk(reach.source(), reach.tenant, asked.expr, span, check, piece=_PIECE, room=_ROOM, read=read)

    anchor = asked.anchor
    if anchor is None:
        bare = replace(asked.expr, stages=())
        here = Span(asked.ts, asked.ts + 1, only=asked.stream, limit=1)
        pieces = walk(reach.source(), reach.tenant, bare, here, check, piece=_PIECE, room=_ROOM, read=read)
        anchor = next((piece.position(0) for piece in pieces if len(piece.entries)), None)
        if anchor is None and only is None and asked.alone:
            raise BadParameter("no entry has that time: send a cursor, a 'stream', or of=all")
        if anchor is not None and asked.alone:
            only = anchor.stream
    earlier = _reaching(
        found,
        lambda reach: Span(
            max(asked.ts - reach, -_MOST),
            asked.ts + (anchor is not None),
            Direction.BACKWARD,
            anchor,
            only=only,
            limit=asked.before,
            mirrored=True,
        ),
        asked.before,
        anchor,
        most,
    )
    later = _reaching(
        found,
        lambda reach: Span(
            asked.ts,
            min(asked.ts + reach, _MOST),
            Direction.FORWARD,
            anchor,
            included=True,
            only=only,
            limit=asked.after + 1,
        ),
        asked.after + 1,
        anchor,
        most,
    )
    if later and not later[0].is_anchor:
        later = later[: asked.after]
    return [*earlier[::-1], *later]


def _reaching(
    found: Callable[[Span], Iterator[Piece]],
    span_of: Callable[[int], Span],
    wanted: int,
    anchor: Position | None,
    most: int,
) -> list[Shown]:
    """As many lines as are wanted, from as near as they are."""
    shown: list[Shown] = []
    for reach in (*_REACHES, _EVER) if wanted else ():
        shown, budget = [], Budget(most)
        for piece in found(span_of(reach)):
            for each in _shown(piece, anchor):
                budget.take(len(each.json))
                shown.append(each)
        if len(shown) >= wanted:
            break
    return shown


def _shown(piece: Piece, anchor: Position | None) -> Iterator[Shown]:
    columns = piece.entries
    for number, (ts, line, labels) in enumerate(
        zip(columns.ts.tolist(), columns.line.tolist(), columns.labels.tolist(), strict=True)
    ):
        own, position = columns.label_sets[labels], piece.position(number)
        members = [b'"cursor":' + label_json(str(position)), b'"ts":"%d"' % ts, b'"labels":' + labels_json(own.stream)]
        if own.metadata:
            members.append(b'"structuredMetadata":' + labels_json(own.metadata))
        if own.parsed:
            members.append(b'"parsed":' + labels_json(own.parsed))
        members.append(b'"line":' + line_json(columns.lines[line]))
        yield Shown(b"{" + b",".join(members) + b"}", position == anchor)


def _body(shown: list[Shown]) -> bytes:
    at = next((number for number, each in enumerate(shown) if each.is_anchor), None)
    where = b"null" if at is None else b"%d" % at
    return b'{"status":"success","data":{"at":%b,"entries":[%b]}}\n' % (where, b",".join(one.json for one in shown))
