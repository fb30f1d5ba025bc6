"""Reading what a request asks for: parameters first, then the query, in the order in which Loki finds fault."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.query.errors import BadParameter, LogQueryNotInstant
from gateway.query.params import Form, InstantParameters, RangeParameters, first, instant_parameters, range_parameters
from logql import Expr, LogExpr, parse, parse_log
from storage.labels import quote


@dataclass(frozen=True, slots=True)
class Query:
    """A query and its parameters.

    Attributes:
        expr: parsed.
        asked: over which time, and how.
    """

    expr: Expr
    asked: RangeParameters | InstantParameters

    @property
    def kind(self) -> str:
        """Loki's name for the query's type in its metrics."""
        if not isinstance(self.expr, LogExpr):
            return "metric"
        return "filter" if self.expr.stages else "limited"

    @property
    def start(self) -> int:
        """First moment asked for, ns."""
        return self.asked.time if isinstance(self.asked, InstantParameters) else self.asked.start

    @property
    def end(self) -> int:
        """Last moment asked for, ns."""
        return self.asked.time if isinstance(self.asked, InstantParameters) else self.asked.end


def read_range(form: Form, now: int) -> Query:
    """What query_range is asked for; `now` in ns.

    Raises:
        BadParameter: a parameter cannot be used.
        LogQLError: the query cannot be parsed.
    """
    asked = range_parameters(form, now)
    return Query(parse(first(form, "query")), asked)


def read_instant(form: Form, now: int) -> Query:
    """What query is asked for; arguments and errors as of `read_range`. Log queries are none of it."""
    asked = instant_parameters(form, now)
    expr = parse(first(form, "query"))
    if isinstance(expr, LogExpr):
        raise LogQueryNotInstant
    return Query(expr, asked)


def read_legacy(form: Form, now: int) -> Query:
    """What /api/prom/query is asked for: a log query over a range, perhaps with a `regexp` that its lines must match.

    Arguments and errors as of `read_range`.
    """
    asked = range_parameters(form, now)
    text = first(form, "query")
    if regexp := first(form, "regexp"):
        parse_log(text)
        # On a line of its own, as the query may end in a comment.
        return Query(parse(f"{text}\n|~ {quote(regexp)}"), asked)
    expr = parse(text)
    if not isinstance(expr, LogExpr):
        raise BadParameter("legacy endpoints only support streams result type")
    return Query(expr, asked)
