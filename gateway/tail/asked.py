"""What a tail is asked for: the query first, then its parameters, in the order in which Loki finds fault."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.query.errors import BadParameter
from gateway.query.params import Form, bounds, first, limit_of
from gateway.query.times import SECOND, parse_int
from logql import Expr, parse
from storage.labels import quote

MAX_DELAY = 5
"""Seconds of `delay_for` at most (Loki)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A tail's query and parameters.

    Attributes:
        expr: parsed; a metric query is refused later, as Loki does.
        start: ns; entries from here on are sent first.
        limit: of these at most, the newest.
        delay: ns that fresh entries are held back.
    """

    expr: Expr
    start: int
    limit: int
    delay: int


def read_tail(form: Form, now: int) -> Asked:
    """What a request asks for; `now` in ns.

    Raises:
        LogQLError: the query cannot be parsed.
        BadParameter: a parameter cannot be used.
    """
    text = first(form, "query")
    expr = parse(text)
    if regexp := first(form, "regexp"):
        # On a line of its own, as the query may end in a comment.
        expr = parse(f"{text}\n|~ {quote(regexp)}")
    limit = limit_of(form)
    start, _ = bounds(form, now)
    return Asked(expr, start, limit, _delay(form))


def _delay(form: Form) -> int:
    text = first(form, "delay_for")
    seconds = parse_int(text, "Atoi") if text else 0
    if seconds > MAX_DELAY:
        raise BadParameter(f"delay_for can't be greater than {MAX_DELAY}")
    if seconds < 0:
        raise BadParameter("delay_for can't be negative")
    return seconds * SECOND
