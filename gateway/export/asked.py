"""What an export is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.export.records import Format, Layout
from gateway.query.errors import BadParameter
from gateway.query.params import Form, bounds, direction_of, every, first, limit_of
from logql import Direction, LogExpr, parse_log
from logql.position import BadCursor, Position, position_of
from logql.walk import Span

_FIXED = frozenset({"ts", "line"})


@dataclass(frozen=True, slots=True)
class Asked:
    """An export.

    Attributes:
        expr: the query.
        span: of which time, from where on, how many.
        layout: how records look.
        marks: whether marks stand between them.
    """

    expr: LogExpr
    span: Span
    layout: Layout
    marks: bool


def read_export(form: Form, now: int) -> Asked:
    """What a request asks for; `now` in ns. Oldest first unless asked otherwise.

    Raises:
        BadParameter: a parameter cannot be used.
        LogQLError: the query cannot be parsed, or is no log query.
    """
    start, end = bounds(form, now)
    if end < start:
        raise BadParameter("end timestamp must not be before or equal to start time")
    direction = direction_of(form) if first(form, "direction") else Direction.FORWARD
    limit = limit_of(form, default=0)
    span = Span(start, end, direction, cursor_of(form), limit=limit)
    layout = _layout(form)
    marks = _one_of(form, "marks", ("on", "off")) == "on"
    return Asked(parse_log(first(form, "query")), span, layout, marks)


def cursor_of(form: Form) -> Position | None:
    """The position that `cursor` stands for; None without one. Raises BadParameter."""
    text = first(form, "cursor")
    if not text:
        return None
    try:
        return position_of(text)
    except BadCursor as error:
        raise BadParameter(f"could not parse 'cursor' parameter: {error}") from error


def _layout(form: Form) -> Layout:
    written = Format(_one_of(form, "format", tuple(Format)))
    together = _one_of(form, "labels", ("apart", "together")) == "together"
    columns = tuple(name for text in every(form, "columns") for name in text.split(",") if name)
    if columns and written is not Format.CSV:
        raise BadParameter("columns are of format=csv")
    if len(set(columns)) < len(columns) or not _FIXED.isdisjoint(columns):
        raise BadParameter("columns have to be different labels, and none of them ts or line")
    return Layout(written, together, columns)


def _one_of(form: Form, name: str, allowed: tuple[str, ...]) -> str:
    """A parameter that may have few values; the first of them unless given."""
    text = first(form, name) or allowed[0]
    if text not in allowed:
        raise BadParameter(f"invalid {name} '{text[:60]}': it is {' or '.join(allowed)}")
    return text
