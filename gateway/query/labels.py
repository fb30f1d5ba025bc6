"""Labels, label values and series: what streams there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from config import Limits
from gateway.query.errors import BadParameter
from gateway.query.gojson import label_json, labels_json
from gateway.query.limits import check_length
from gateway.query.params import Form, bounds, every, first
from gateway.query.pool import Ticket
from gateway.query.request import json_response, read_form
from gateway.query.several import reader_of
from gateway.query.times import SECOND, prometheus_duration
from gateway.query.work import run_for
from gateway.state import Gateway, ReadStore
from logql import parse_selector
from logql.source import Matcher
from storage.batch import Labels

DAY = 86_400 * SECOND


async def label_names(request: Request) -> Response:
    """Names of the labels of streams in a time range, sorted."""

    def names(store: ReadStore, tenant: str, matchers: Sequence[Matcher], start: int, end: int) -> list[str]:
        return store.label_names(tenant, matchers, start, end)

    return await _answer_names(request, names)


async def label_values(request: Request) -> Response:
    """Values of one label, sorted; none is an answer without `data`, whether or not the label exists."""
    name = request.path_params["name"]

    def values(store: ReadStore, tenant: str, matchers: Sequence[Matcher], start: int, end: int) -> list[str]:
        return store.label_values(tenant, name, matchers, start, end)

    return await _answer_names(request, values)


async def series(request: Request) -> Response:
    """Label sets of the streams that match any of the selectors; no selector or `{}`: all."""
    store, tenant = reader_of(request)
    limits = _gateway(request).settings.limits_for(tenant)
    form = await read_form(request)
    start, end = metadata_range(form, limits, time.time_ns())
    texts = every(form, "match", "match[]")
    accepted = request.headers.get("accept-encoding", "")

    def work(_ticket: Ticket) -> Response:
        found = store.series(tenant, series_groups(texts), start, end)
        return json_response(series_answer(found), accepted)

    return await run_for(request, tenant, work)


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


async def _answer_names(
    request: Request, ask: Callable[[ReadStore, str, Sequence[Matcher], int, int], list[str]]
) -> Response:
    store, tenant = reader_of(request)
    form = await read_form(request)
    start, end = whole_days(*metadata_range(form, _gateway(request).settings.limits_for(tenant), time.time_ns()))
    query = first(form, "query")
    accepted = request.headers.get("accept-encoding", "")

    def work(_ticket: Ticket) -> Response:
        matchers = parse_selector(query) if query else ()
        return json_response(names_answer(ask(store, tenant, matchers, start, end)), accepted)

    return await run_for(request, tenant, work)


def metadata_range(form: Form, limits: Limits, now: int) -> tuple[int, int]:
    """Start and end (ns) of a question about labels, with the limits on time ranges applied.

    Raises:
        BadParameter: a time cannot be read, the range is backwards, too old or too long, in Loki's words.
    """
    start, end = bounds(form, now)
    if limits.max_query_lookback:
        start = max(start, now - limits.max_query_lookback)
    if end < start:
        # Loki has one text for both; a range given backwards counts as too old.
        lookback = prometheus_duration(limits.max_query_lookback)
        raise BadParameter(f"this data is no longer available, it is past now - max_query_lookback ({lookback})")
    check_length(start, end, limits)
    return start, end


def whole_days(start: int, end: int) -> tuple[int, int]:
    """The UTC days that a time range touches.

    Names and values are asked of an index that Loki keeps by the day, and it answers for the day (conformance
    api_labels-049 to 056); series are exact.
    """
    return start // DAY * DAY, -(-end // DAY) * DAY


def series_groups(texts: Sequence[str]) -> list[Sequence[Matcher]]:
    """Matchers of each selector given; none, or a single `{}`, is no group: everything.

    Raises:
        BadParameter: `{}` beside others.
        LogQLError: one is no selector.
    """
    distinct = sorted(set(texts))
    if not distinct or (len(distinct) == 1 and _is_all(distinct[0])):
        return []
    if any(_is_all(text) for text in distinct):
        raise BadParameter("0 matchers in group: {}")
    return [parse_selector(text) for text in distinct]


def _is_all(text: str) -> bool:
    return text.replace(" ", "") == "{}"


def names_answer(names: Sequence[str]) -> bytes:
    """The answer of labels and label values. Loki leaves an empty `data` out."""
    if not names:
        return b'{"status":"success"}\n'
    return b'{"status":"success","data":[' + b",".join(map(label_json, names)) + b"]}\n"


def series_answer(series: Sequence[Labels]) -> bytes:
    """The answer of series; here an empty `data` stays."""
    return b'{"status":"success","data":[' + b",".join(map(labels_json, series)) + b"]}\n"
