"""index/volume and index/volume_range: bytes by series or label, without a line being read."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from config import Limits
from gateway.query.encode_metrics import seconds
from gateway.query.errors import BadParameter, VolumeDisabled
from gateway.query.gojson import metric_json, text_json
from gateway.query.limits import check_length
from gateway.query.params import Form, bounds, check_points, first, limit_of, step_of
from gateway.query.pool import Ticket
from gateway.query.request import json_response, read_form
from gateway.query.several import reader_of
from gateway.query.stats import stats_json
from gateway.query.work import run_for
from gateway.state import Gateway
from logql import Stats, parse_selector
from logql.source import Matcher
from storage import Grouping, Volume, VolumeSeriesLimit
from storage.batch import Labels
from storage.labels import labels_text

MS = 1_000_000
EVERYTHING = "{}"
"""The selector of all streams, which only these endpoints take."""


@dataclass(frozen=True, slots=True)
class VolumeParameters:
    """What is asked for, the query apart.

    Attributes:
        start: ns.
        end: ns, included.
        step: ns, 0 for one bucket of all.
        limit: series at most.
        targets: labels to add up by; none given: those that the query names.
        by_label: whether a series is a label name.
    """

    start: int
    end: int
    step: int
    limit: int
    targets: tuple[str, ...]
    by_label: bool


def volume_parameters(form: Form, now: int, *, stepped: bool) -> VolumeParameters:
    """The parameters of volume, or `stepped` of volume_range.

    Raises:
        BadParameter: one cannot be used, in Loki's words.
    """
    start, end = bounds(form, now)
    if end < start:
        raise BadParameter("end timestamp must not be before or equal to start time")
    # A limit of 0 is none given here.
    limit = limit_of({name: values for name, values in form.items() if name != "limit" or first(form, name) != "0"})
    step = step_of(form, start, end) if stepped else 0
    if step:
        check_points(start, end, step)
    aggregate = first(form, "aggregateBy") or "series"
    if aggregate not in ("series", "labels"):
        raise BadParameter("invalid aggregation option")
    targets = first(form, "targetLabels")
    # Loki's clocks have milliseconds here.
    return VolumeParameters(
        start // MS * MS,
        -(-end // MS) * MS,
        max(step // MS * MS, MS) if step else 0,
        limit,
        tuple(targets.split(",")) if targets else (),
        aggregate == "labels",
    )


def grouping_of(asked: VolumeParameters, matchers: Sequence[Matcher], most: int) -> Grouping:
    """What bytes are added up by. `most`: series that may be added up, 0 for any number."""
    names = asked.targets or tuple(dict.fromkeys(matcher.name for matcher in matchers))
    everything = not asked.targets and (asked.by_label or not matchers)
    return Grouping(
        None if everything else names,
        required=bool(asked.targets),
        by_label=asked.by_label,
        limit=asked.limit,
        most=most,
    )


async def volume(request: Request) -> Response:
    """Bytes of each series in a time range: a vector."""
    return await _answer(request, stepped=False)


async def volume_range(request: Request) -> Response:
    """Bytes of each series in each step: a matrix, or a vector where no series has two points."""
    return await _answer(request, stepped=True)


async def _answer(request: Request, *, stepped: bool) -> Response:
    gateway: Gateway = request.app.state.gateway
    store, tenant = reader_of(request)
    limits: Limits = gateway.settings.limits_for(tenant)
    if not limits.volume_enabled:
        raise VolumeDisabled
    now = time.time_ns()
    form = await read_form(request)
    asked = volume_parameters(form, now, stepped=stepped)
    query = first(form, "query")
    accepted = request.headers.get("accept-encoding", "")

    def work(_ticket: Ticket) -> Response:
        matchers = () if query.replace(" ", "") == EVERYTHING else parse_selector(query)
        start = max(asked.start, now - limits.max_query_lookback) if limits.max_query_lookback else asked.start
        check_length(start, asked.end, limits)
        grouping = grouping_of(asked, matchers, limits.volume_max_series)
        try:
            found = (
                store.volumes(tenant, matchers, start, asked.end, asked.step, grouping) if start <= asked.end else []
            )
        except VolumeSeriesLimit as error:
            raise BadParameter(str(error)) from error
        warnings = store.missing(tenant, start, asked.end + 1)
        return json_response(volume_answer(found, warnings), accepted)

    return await run_for(request, tenant, work)


def volume_answer(found: Iterable[Volume], warnings: Sequence[str] = ()) -> bytes:
    """The body: a matrix if a series has two points, else a vector; the larger first point goes first.

    Args:
        found: the bytes, by steps.
        warnings: what the answer lacks.
    """
    series: dict[Labels, list[tuple[str, int]]] = {}
    for one in found:
        stamp = seconds(one.stamp // MS)
        for labels, size in one.series:
            series.setdefault(labels, []).append((stamp, size))
    is_matrix = any(len(points) > 1 for points in series.values())
    ordered = sorted(series.items(), key=lambda item: (-item[1][0][1], labels_text(item[0])))
    kind, member = (b"matrix", b'"values":[%b]') if is_matrix else (b"vector", b'"value":%b')
    written = b",".join(
        b'{"metric":%b,%b}' % (metric_json(labels), member % b",".join(map(_point, points)))
        for labels, points in ordered
    )
    told = b',"warnings":[%b]' % b",".join(map(text_json, warnings)) if warnings else b""
    return b'{"status":"success","data":{"resultType":"%b","result":[%b],"stats":%b}%b}' % (
        kind,
        written,
        stats_json(Stats(), 0.0),
        told,
    )


def _point(point: tuple[str, int]) -> bytes:
    stamp, size = point
    return f'[{stamp},"{size}"]'.encode()
