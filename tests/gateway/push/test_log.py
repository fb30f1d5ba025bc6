"""POST /log: one entry, many, what is refused and how it is named."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.push.errors import BadField
from gateway.push.log_entries import MAX_ENTRY, MAX_MESSAGE, MAX_SERVICE, nanoseconds_of
from storage.errors import StorageUnavailable
from tests.gateway.push.decoding import rows
from tests.gateway.world import World

T = 1_700_000_000_123_456_789
ENTRY = {"level": "error", "message": "payment failed", "service": "shop"}


def post(world: World, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return world.ask("POST", "/log", content=content, headers={"Content-Type": "application/json"} | headers)


def stored(world: World) -> list[tuple[Any, int, bytes, dict[str, bytes]]]:
    return [row for _, batch in world.store.batches for row in rows(batch)]


def test_an_entry_is_202_and_stored_under_its_service(world: World) -> None:
    answer = post(world, ENTRY | {"timestamp": "2023-11-14T22:13:20.123456789Z"})
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"status": "accepted", "timestamp": "2023-11-14T22:13:20.123456789Z"}
    metadata = {"level": b"error", "detected_level": b"error"}
    assert stored(world) == [((("service_name", "shop"),), T, b"payment failed", metadata)]


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error", "fatal"])
def test_levels(world: World, level: str) -> None:
    assert post(world, ENTRY | {"level": level}).status_code == 202
    [(_, _, _, metadata)] = stored(world)
    assert metadata["detected_level"] == metadata["level"] == level.encode()


def test_an_entry_without_a_timestamp_has_the_present(world: World) -> None:
    before = time.time_ns()
    assert post(world, ENTRY).json()["status"] == "accepted"
    assert before <= stored(world)[0][1] <= time.time_ns()


def test_further_fields_are_structured_metadata(world: World) -> None:
    more = {"user.id": 7, "tags": ["a", 1], "none": None, "on": True, "ratio": 0.5, "text": "é", "lev\u00e9l": "x"}
    assert post(world, ENTRY | more).status_code == 202
    [(_, _, _, metadata)] = stored(world)
    assert metadata == {
        "level": b"error",
        "detected_level": b"error",
        "user_id": b"7",
        "tags": b'["a",1]',
        "on": b"true",
        "ratio": b"0.5",
        "text": "é".encode(),
        "lev_l": b"x",
    }


@pytest.mark.parametrize(
    ("timestamp", "ns"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500_000_000),
        (1_700_000_000, 1_700_000_000_000_000_000),
        (1_700_000_000.25, 1_700_000_000_250_000_000),
        (1_700_000_000_123, 1_700_000_000_123_000_000),
        (1_700_000_000_123.5, 1_700_000_000_123_500_000),
        (1_700_000_000_123_456, 1_700_000_000_123_456_000),
        (T, T),
        ("1700000000", 1_700_000_000_000_000_000),
        (str(T), T),
        (1, 1_000_000_000),
    ],
)
def test_times(timestamp: Any, ns: int) -> None:
    assert nanoseconds_of(timestamp) == ns


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        "soon",
        "2023-11-14",
        "2023-13-01T00:00:00Z",
        True,
        [],
        {},
        0,
        -5,
        1e300,
        10**30,
        "-5",
        "1677-09-21T00:00:00Z",
    ],
)
def test_what_is_no_time(timestamp: Any) -> None:
    with pytest.raises(BadField) as raised:
        nanoseconds_of(timestamp)
    assert raised.value.field == "timestamp"


LONGEST = "é" * (MAX_MESSAGE // 2)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"level": None}, "level"),
        ({"level": "ERROR"}, "level"),
        ({"level": 3}, "level"),
        ({"message": None}, "message"),
        ({"message": 3}, "message"),
        ({"message": LONGEST + "x"}, "message"),
        ({"service": ""}, "service"),
        ({"service": ["x"]}, "service"),
        ({"service": "é" * (MAX_SERVICE + 1)}, "service"),
        ({"timestamp": "soon"}, "timestamp"),
        ({"timestamp": "2200-01-01T00:00:00Z"}, "timestamp"),
        ({"": "x"}, "body"),
        ({"..": "x"}, ".."),
        ({f"field{number}": 1 for number in range(130)}, "body"),
    ],
)
def test_400_names_the_field(world: World, change: dict[str, Any], field: str) -> None:
    answer = post(world, ENTRY | change)
    assert answer.status_code == 400
    said = answer.json()
    assert (said["status"], said["field"]) == ("refused", field)
    assert said["error"]
    assert not stored(world)


@pytest.mark.parametrize("field", ["level", "message", "service"])
def test_a_missing_field_is_named(world: World, field: str) -> None:
    answer = post(world, {name: value for name, value in ENTRY.items() if name != field})
    assert (answer.status_code, answer.json()) == (
        400,
        {"status": "refused", "error": f"{field} is missing", "field": field},
    )


def test_what_is_just_allowed(world: World) -> None:
    assert post(world, ENTRY | {"message": LONGEST, "service": "é" * MAX_SERVICE}).status_code == 202
    assert post(world, ENTRY | {"message": ""}).status_code == 202


@pytest.mark.parametrize("body", [b"", b"  ", b"{", b'{"level": "\xff"}', b"3", b"null", b'"x"', b'{"a":' * 3000])
def test_a_body_that_is_no_entry(world: World, body: bytes) -> None:
    answer = post(world, body)
    assert (answer.status_code, answer.json()["field"]) == (400, "body")


def test_a_body_over_50_kb_is_413(world: World) -> None:
    fits = json.dumps(ENTRY | {"more": ""}).encode()
    fits = fits.replace(b'""', b'"' + b"x" * (MAX_ENTRY - len(fits)) + b'"')
    assert post(world, fits).status_code == 202
    answer = post(world, fits + b" ")
    assert answer.status_code == 413
    assert answer.json() == {
        "status": "refused",
        "error": f"an entry has at most {MAX_ENTRY} bytes, this one has {MAX_ENTRY + 1}",
    }


def test_an_indented_object_is_one_entry(world: World) -> None:
    answer = post(world, json.dumps(ENTRY, indent=2).encode())
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")


MANY = [
    ENTRY | {"message": "0"},
    ENTRY | {"level": "x"},
    5,
    ENTRY | {"message": "3", "service": "cart"},
    ENTRY | {"x": "y" * MAX_ENTRY},
]


def lines(entries: list[Any]) -> bytes:
    return b"\r\n\n".join(json.dumps(entry).encode() for entry in entries) + b"\n"


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (json.dumps(MANY).encode(), "application/json"),
        (lines(MANY), "application/json"),
        (lines(MANY), "application/x-ndjson; charset=utf-8"),
    ],
)
def test_many_entries_and_the_indices_of_those_refused(world: World, body: bytes, media: str) -> None:
    answer = post(world, body, **{"Content-Type": media})
    assert answer.status_code == 202
    said = answer.json()
    assert (said["status"], said["accepted"], said["refused"]) == ("accepted", 2, [1, 2, 4])
    assert [(each["index"], each["field"]) for each in said["errors"]] == [(1, "level"), (2, "body"), (4, "body")]
    assert [(labels, line) for labels, _, line, _ in stored(world)] == [
        ((("service_name", "shop"),), b"0"),
        ((("service_name", "cart"),), b"3"),
    ]
    assert said["timestamp"]


def test_a_line_that_is_no_json_is_refused_alone(world: World) -> None:
    answer = post(world, lines([ENTRY]) + b"{broken\n" + lines([ENTRY]))
    assert (answer.status_code, answer.json()["refused"]) == (202, [1])
    assert len(stored(world)) == 2


def test_one_line_of_ndjson_is_an_answer_for_many(world: World) -> None:
    answer = post(world, lines([ENTRY]), **{"Content-Type": "application/x-ndjson"})
    assert (answer.status_code, answer.json()["accepted"], answer.json()["refused"]) == (202, 1, [])


def test_nothing_accepted_of_many_is_400(world: World) -> None:
    answer = post(world, [{}, {}])
    assert (answer.status_code, answer.json()["status"], answer.json()["refused"]) == (400, "refused", [0, 1])
    assert post(world, b"[]").json()["field"] == "body"
    assert not stored(world)


def test_a_body_of_many_may_be_as_large_as_the_setting(make_world: Callable[..., World]) -> None:
    body = json.dumps([ENTRY] * 1000).encode()
    world = make_world(log={"max_bulk_bytes": len(body)})
    assert len(body) > MAX_ENTRY
    assert post(world, body).json()["accepted"] == 1000
    assert post(world, body + b" ").status_code == 413
    assert post(world, gzip.compress(body), **{"Content-Encoding": "gzip"}).json()["accepted"] == 1000
    assert post(world, gzip.compress(body + b" "), **{"Content-Encoding": "gzip"}).status_code == 413


def test_a_limit_of_the_tenant_that_is_lower_holds(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_line_size": 5, "reject_old_samples": True})
    assert post(world, ENTRY).json()["field"] == "message"
    assert post(world, ENTRY | {"message": "x", "timestamp": T}).json()["field"] == "timestamp"
    assert post(world, ENTRY | {"message": "x"}).status_code == 202


def test_without_structured_metadata_the_level_is_a_label(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"allow_structured_metadata": False})
    assert post(world, ENTRY | {"user": "x"}).json()["field"] == "user"
    assert post(world, ENTRY).status_code == 202
    assert stored(world)[0][0] == (("level", "error"), ("service_name", "shop"))


def test_while_storage_refuses_it_is_503(world: World) -> None:
    world.store.refusal = StorageUnavailable("the disk is full", 7)
    answer = post(world, ENTRY)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json() == {"status": "refused", "error": "the disk is full"}


def test_a_rate_is_429_and_a_missing_tenant_401(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_streams_per_user": 1}, tenancy={"enabled": True})
    answer = post(world, ENTRY)
    assert (answer.status_code, answer.json()["error"]) == (401, "no org id")
    tenant = {"X-Scope-OrgID": "acme"}
    assert post(world, ENTRY, **tenant).status_code == 202
    assert post(world, ENTRY | {"service": "other"}, **tenant).status_code == 429
    assert [tenant for tenant, _ in world.store.batches] == ["acme"]


def test_what_came_is_counted_as_log(world: World) -> None:
    post(world, ENTRY)
    labels = 'format="log",is_internal_stream="false",policy="",tenant="fake"'
    assert world.metric(f"loki_distributor_lines_received_total{{{labels}}}") == 1
