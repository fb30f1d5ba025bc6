"""The metrics of the doors: what each counts, and that the page, the docs and the names agree."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metric_names import ALL, markdown_table
from tests.gateway.world import World

DOCS = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
NOW = 1795168800000000000


def push(
    world: World, *lines: str, ts: int = NOW, headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    values = [[str(ts), line, *([more["metadata"]] if "metadata" in more else [])] for line in lines]
    body = {"streams": [{"stream": more.get("labels", {"app": "a"}), "values": values}]}
    return world.ask("POST", "/loki/api/v1/push", json=body, headers=headers or {})


# -- the page


def test_docs_list_every_metric() -> None:
    assert markdown_table() in DOCS


def use(world: World) -> None:
    push(world, "line")
    world.get("/loki/api/v1/query_range", query='{app="a"}')


def test_everything_exposed_is_documented_and_everything_documented_is_exposed(world: World) -> None:
    use(world)
    exposed = {
        line.split()[2]: line.split()[3]
        for line in world.get("/metrics").text.splitlines()
        if line.startswith("# TYPE ") and not line.startswith("# TYPE process_")
    }
    assert exposed == {spec.name: spec.kind for spec in ALL}


def test_what_the_docs_call_not_exposed_is_not(world: World) -> None:
    use(world)
    section = DOCS.partition("## Not exposed")[2]
    patterns = [
        name
        for row in section.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    ]
    assert len(patterns) > 20
    page = world.get("/metrics").text
    exposed = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE ")}
    assert [name for name in exposed for pattern in patterns if fnmatch(name, pattern)] == []


def test_samples_have_the_labels_the_docs_tell(world: World) -> None:
    use(world)
    labels = {spec.name: set(spec.labels) for spec in ALL}
    seen = set()
    for family in text_string_to_metric_families(world.get("/metrics").text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples:
            if name in labels:
                assert set(sample.labels) - {"le"} == labels[name], name
                seen.add(name)
    assert {"loki_request_message_bytes", "loki_bytes_per_line", "loki_ingester_chunks_flushed_total"} <= seen


def test_histograms_are_cumulative_and_end_with_their_count(world: World) -> None:
    use(world)
    found = 0
    for family in text_string_to_metric_families(world.get("/metrics").text):
        if family.type != "histogram":
            continue
        series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        counts = {}
        for sample in family.samples:
            key = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
            if sample.name.endswith("_bucket"):
                series.setdefault(key, []).append((float(sample.labels["le"]), sample.value))
            elif sample.name.endswith("_count"):
                counts[key] = sample.value
        for key, buckets in series.items():
            assert buckets == sorted(buckets), family.name
            assert [value for _, value in buckets] == sorted(value for _, value in buckets), family.name
            assert buckets[-1] == (float("inf"), counts[key]), family.name
            found += 1
    assert found >= 12


# -- requests


def test_bodies_are_measured_as_they_travel(world: World) -> None:
    body = gzip.compress(
        json.dumps({"streams": [{"stream": {"app": "a"}, "values": [[str(NOW), "x" * 9999]]}]}).encode()
    )
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert world.ask("POST", "/loki/api/v1/push", content=body, headers=headers).status_code == 204
    labels = 'method="POST",route="loki_api_v1_push"'
    assert world.metric(f"loki_request_message_bytes_sum{{{labels}}}") == len(body)
    assert world.metric(f'loki_request_message_bytes_bucket{{le="1.048576e+06",{labels}}}') == 1
    assert world.metric(f"loki_response_message_bytes_sum{{{labels}}}") == 0
    assert world.get("/ready").text == "ready\n"
    assert world.metric('loki_response_message_bytes_sum{method="GET",route="ready"}') == len("ready\n")
    assert world.metric('loki_request_message_bytes_sum{method="GET",route="ready"}') == 0


def test_the_text_of_an_error_is_measured_too(world: World) -> None:
    answer = world.ask("POST", "/loki/api/v1/push", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    labels = 'method="POST",route="loki_api_v1_push"'
    assert world.metric(f"loki_response_message_bytes_sum{{{labels}}}") == len(answer.content)


def test_a_method_nobody_knows_makes_no_series_of_its_own(world: World) -> None:
    for n in range(3):
        world.ask(f"GET{n}", "/ready")
    page = world.get("/metrics").text
    assert "GET1" not in page
    assert 'method="other"' in page


# -- pushes


def test_lines_are_measured_each(world: World) -> None:
    push(world, "", "x", "x" * 8, "x" * 9, "x" * 3_000)
    expected = {"1.0": 2, "8.0": 3, "64.0": 4, "512.0": 4, "4096.0": 5, "2.097152e+06": 5, "+Inf": 5}
    assert {bound: world.metric(f'loki_bytes_per_line_bucket{{le="{bound}"}}') for bound in expected} == expected
    assert world.metric("loki_bytes_per_line_sum") == 3_018
    push(world, "y" * 20)
    assert world.metric('loki_bytes_per_line_bucket{le="64.0"}') == 5


LAG = 'loki_distributor_lag_ms_total{format="loki",tenant="fake",userAgent="agent"}'


@pytest.mark.parametrize("age", [5, 3600])
def test_lag_is_how_old_the_newest_entry_is(world: World, age: int) -> None:
    before = time.time_ns()
    values = [[str(before - (age + 1000 * n) * 10**9), "x"] for n in (0, 1)]
    body = {"streams": [{"stream": {"app": "a"}, "values": values}]}
    world.ask("POST", "/loki/api/v1/push", json=body, headers={"User-Agent": "agent/1"})
    most = age * 1000 + (time.time_ns() - before) / 10**6
    assert age * 1000 <= world.metric(LAG) <= most


@pytest.mark.parametrize("age", [-60, 12 * 86_400])
def test_a_push_from_the_future_or_of_old_data_has_no_lag(make_world: Callable[..., World], age: int) -> None:
    world = make_world(limits={"reject_old_samples": False})
    assert push(world, "x", ts=time.time_ns() - age * 10**9, headers={"User-Agent": "agent/1"}).status_code == 204
    assert 'userAgent="agent"' not in world.get("/metrics").text
    assert world.metric('weir_push_requests_total{client="agent",tenant="fake"}') == 1


def test_user_agents_past_the_hundredth_share_a_label(world: World) -> None:
    for n in range(105):
        push(world, "x", ts=time.time_ns(), headers={"User-Agent": f"agent-{n}/1"})
    page = world.get("/metrics").text
    names = set(re.findall(r'loki_distributor_lag_ms_total\{.*userAgent="([^"]*)"', page))
    assert len(names) == 101
    assert "other" in names
    assert world.metric('weir_push_requests_total{client="other",tenant="fake"}') == 5


ZERO = 'loki_distributor_push_zero_streams_count{{stage="{}",tenant="fake"}}'


def test_pushes_without_streams_are_counted_by_where_they_lost_them(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_line_size": 3, "reject_old_samples": False})
    assert world.ask("POST", "/loki/api/v1/push", json={"streams": []}).status_code == 422
    assert (world.metric(ZERO.format("pre-validation")), world.metric(ZERO.format("post-validation"))) == (1, 0)
    assert push(world, "long").status_code == 400
    assert (world.metric(ZERO.format("pre-validation")), world.metric(ZERO.format("post-validation"))) == (1, 1)
    assert push(world, "ok").status_code == 204
    assert world.metric(ZERO.format("post-validation")) == 1


def test_refused_and_shortened_lines_are_counted_by_reason(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_line_size": 3})
    push(world, "ok", "long", "longer")
    labels = 'format="loki",policy="",reason="line_too_long",retention_hours="",tenant="fake"'
    assert world.metric(f"loki_discarded_samples_total{{{labels}}}") == 2
    assert world.metric(f"loki_discarded_bytes_total{{{labels}}}") == 10
    world = make_world(limits={"max_line_size": 3, "max_line_size_truncate": True})
    push(world, "ok", "long", "longer")
    assert world.metric('loki_mutated_samples_total{reason="line_too_long",tenant="fake"}') == 2
    assert world.metric('loki_mutated_bytes_total{reason="line_too_long",tenant="fake"}') == 4


def test_how_long_lines_are_kept_is_told_with_their_bytes(make_world: Callable[..., World]) -> None:
    received = 'loki_distributor_bytes_received_total{{format="loki",is_internal_stream="false",policy="",{},{}}}'
    world = make_world(
        tenancy={"enabled": True},
        retention={"period": "31d"},
        overrides={"brief": {"retention_period": "90m"}, "ever": {"retention_period": "0s"}},
        limits={"max_line_size": 4},
    )
    for tenant, hours in (("any", "744"), ("brief", "1"), ("ever", "")):
        push(world, "line", "longer", headers={"X-Scope-OrgID": tenant})
        labels = f'retention_hours="{hours}"', f'tenant="{tenant}"'
        assert world.metric(received.format(*labels)) == 10
        refused = f'format="loki",policy="",reason="line_too_long",retention_hours="{hours}",tenant="{tenant}"'
        assert world.metric(f"loki_discarded_samples_total{{{refused}}}") == 1


SANITISED = 'loki_distributor_push_structured_metadata_sanitized_total{format="loki",tenant="fake"}'


def test_metadata_that_had_to_be_changed_is_counted_by_name_and_value(world: World) -> None:
    push(world, "a", "b", metadata={"fine": "v"})
    assert world.metric(SANITISED) == 0
    push(world, "a", "b", metadata={"a.b": "v"})
    assert world.metric(SANITISED) == 2
    push(world, "a", metadata={"a.c": "bad \ufffd", "fine": "v"})
    assert world.metric(SANITISED) == 4


def test_metadata_of_many_names_is_counted_alike(world: World) -> None:
    push(world, "a", metadata={**{f"k{n}": "v" for n in range(100)}, "a.b": "v", "z": "\ufffd"})
    assert world.metric(SANITISED) == 2


# -- queries


def test_queries_tell_what_they_read(world: World) -> None:
    now = time.time_ns()
    world.store.add({"app": "a"}, (now - 2 * 10**9, b"one"), (now - 10**9, b"two"))
    assert world.get("/loki/api/v1/query_range", query='{app="a"}').status_code == 200
    assert world.metric("loki_logql_querystats_ingester_sent_lines_total") == 2
    labels = 'range="range",status_code="200",type="limited"'
    assert f"loki_logql_querystats_downloaded_chunk_total{{{labels}}} 0.0" in world.get("/metrics").text
    assert world.metric("loki_query_scheduler_queue_duration_seconds_count") == 1
    assert world.metric(f"loki_logql_querystats_latency_seconds_count{{{labels}}}") == 1
    assert world.metric('loki_logql_querystats_bytes_processed_total{tenant="fake"}') == 6
    world.get("/loki/api/v1/labels")
    assert world.metric("loki_query_scheduler_queue_duration_seconds_count") == 2
