"""detected_labels, detected_fields and the values of a field: what there is to choose from, for Logs Drilldown."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from gateway.query.asked import Query
from gateway.query.errors import BadParameter
from gateway.query.evaluate import Terms, evaluate
from gateway.query.gojson import label_json
from gateway.query.labels import metadata_range, whole_days
from gateway.query.params import Form, RangeParameters, bounds, check_points, first, limit_of, step_of
from gateway.query.pool import Ticket
from gateway.query.request import json_response, read_form
from gateway.query.several import reader_of
from gateway.query.work import run_for
from gateway.state import Gateway
from logql import Budget, Direction, LogResult, parse_log, parse_selector
from logql.detected import DetectedField, detect_fields, field_values
from logql.detected_labels import is_shown

DEFAULT_LIMIT = 1000
"""Fields, or values of a field."""

_TIMES = ("start", "end", "since")


async def detected_labels(request: Request) -> Response:
    """Labels of streams in a time range that do not merely number them, with how many values each has.

    From the labels index alone. Without any time given all streams count (conformance errors_param-150).
    """
    gateway: Gateway = request.app.state.gateway
    store, tenant = reader_of(request)
    form = await read_form(request)
    now, limits = time.time_ns(), gateway.settings.limits_for(tenant)
    if any(first(form, name) for name in _TIMES):
        start, end = whole_days(*metadata_range(form, limits, now))
    else:
        start, end = whole_days(max(0, now - limits.max_query_lookback) if limits.max_query_lookback else 0, now)
    query = first(form, "query")
    accepted = request.headers.get("accept-encoding", "")

    def work(ticket: Ticket) -> Response:
        matchers = parse_selector(query) if query else ()
        found = []
        for name in store.label_names(tenant, matchers, start, end):
            ticket.check()
            values = store.label_values(tenant, name, matchers, start, end)
            if is_shown(name, values):
                found.append((name, len(values)))
        return json_response(labels_answer(found), accepted)

    return await run_for(request, tenant, work)


async def detected_fields(request: Request) -> Response:
    """Fields of the newest `line_limit` entries of a log query."""

    def answer(result: LogResult, limit: int, check: Callable[[], None], budget: Budget) -> bytes:
        return fields_answer(detect_fields(result, limit, check, budget), limit)

    return await _answer(request, answer)


async def detected_field_values(request: Request) -> Response:
    """Values of one field in the newest `line_limit` entries of a log query."""
    name = request.path_params["name"]

    def answer(result: LogResult, limit: int, check: Callable[[], None], budget: Budget) -> bytes:
        return values_answer(field_values(result, name, limit, check, budget), limit)

    return await _answer(request, answer)


async def _answer(request: Request, answer: Callable[[LogResult, int, Callable[[], None], Budget], bytes]) -> Response:
    gateway: Gateway = request.app.state.gateway
    store, tenant = reader_of(request)
    form = await read_form(request)
    now, settings = time.time_ns(), gateway.settings
    most = settings.query.max_memory
    terms = Terms(tenant, settings.limits_for(tenant), most, partial=False, now=now)
    accepted = request.headers.get("accept-encoding", "")

    def work(ticket: Ticket) -> Response:
        query, limit = _read(form, now)
        result = evaluate(store, query, terms, ticket.check)
        assert isinstance(result, LogResult), "parse_log gives log queries"
        return json_response(answer(result, limit, ticket.check, Budget(most)), accepted)

    return await run_for(request, tenant, work)


def _read(form: Form, now: int) -> tuple[Query, int]:
    """The log query of a request, its `limit` being `line_limit`; and how many fields or values are asked for.

    Raises:
        BadParameter: a parameter cannot be used.
        LogQLError: the query cannot be parsed, or is no log query.
    """
    start, end = bounds(form, now)
    if end < start:
        raise BadParameter("end timestamp must not be before or equal to start time")
    lines = limit_of(form, "line_limit")
    limit = limit_of(form, "limit", "field_limit", default=DEFAULT_LIMIT)
    step = step_of(form, start, end)
    check_points(start, end, step)
    return Query(
        parse_log(first(form, "query")), RangeParameters(start, end, lines, Direction.BACKWARD, step, 0)
    ), limit


def labels_answer(labels: list[tuple[str, int]]) -> bytes:
    """The answer of detected_labels: names and how many values each has; an empty object for none."""
    if not labels:
        return b"{}\n"
    shown = [b'{"label":%b,"cardinality":%d}' % (label_json(name), count) for name, count in labels]
    return b'{"detectedLabels":[' + b",".join(shown) + b"]}\n"


def fields_answer(fields: list[DetectedField], limit: int) -> bytes:
    """The answer of detected_fields; an empty object for none."""
    if not fields:
        return b"{}\n"
    return b'{"fields":[' + b",".join(map(_field_json, fields)) + b'],"limit":%d}\n' % limit


def _field_json(field: DetectedField) -> bytes:
    parsers = _texts(field.parsers) if field.parsers else b"null"
    path = b',"jsonPath":' + _texts(field.path) if field.path else b""
    return b'{"label":%b,"type":"%b","cardinality":%d,"parsers":%b%b}' % (
        label_json(field.name),
        field.type.encode(),
        field.cardinality,
        parsers,
        path,
    )


def values_answer(values: list[str], limit: int) -> bytes:
    """The answer of a field's values; an empty object for none."""
    return b'{"values":%b,"limit":%d}\n' % (_texts(values), limit) if values else b"{}\n"


def _texts(texts: tuple[str, ...] | list[str]) -> bytes:
    return b"[" + b",".join(map(label_json, texts)) + b"]"
