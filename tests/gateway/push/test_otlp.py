"""The OTLP door over HTTP: what becomes of attributes, encodings, errors as protobuf Status."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import lz4.frame
import pytest
import zstandard

from gateway.push.otlp_messages import LogsRequest
from gateway.push.threads import INLINE_BYTES
from storage.errors import StorageError, StorageUnavailable
from tests.gateway.push.decoding import JSON, PROTOBUF, rows
from tests.gateway.world import World

LOGS = "/otlp/v1/logs"
T = 1_700_000_000_000_000_000


def request(
    attributes: dict[str, str] | None = None, *lines: bytes, own: dict[str, str] | None = None, **fields: Any
) -> Any:
    made = LogsRequest()
    logs = made.resource_logs.add()
    for key, held in (attributes or {"service.name": "shop"}).items():
        logs.resource.attributes.add(key=key.encode()).value.string_value = held.encode()
    scoped = logs.scope_logs.add()
    for number, line in enumerate(lines or (b"a line",)):
        record = scoped.log_records.add(time_unix_nano=T + number, **fields)
        record.body.string_value = line
        for key, held in (own or {}).items():
            record.attributes.add(key=key.encode()).value.string_value = held.encode()
    return made


def post(world: World, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else body.SerializeToString()
    return world.ask("POST", LOGS, content=content, headers={"Content-Type": PROTOBUF} | headers)


def stored(world: World) -> list[tuple[Any, int, bytes, dict[str, bytes]]]:
    return [row for _, batch in world.store.batches for row in rows(batch)]


def message(response: httpx.Response) -> str:
    """The message of a google.rpc.Status that has nothing else."""
    assert response.headers["content-type"] == "application/octet-stream"
    body = response.content
    assert body[0] == 0x12
    size = at = 0
    while True:
        at += 1
        size |= (body[at] & 0x7F) << (7 * (at - 1))
        if body[at] < 0x80:
            break
    assert len(body) == at + 1 + size
    return body[at + 1 :].decode()


def test_a_record_is_stored_under_its_resource_with_all_the_rest_as_metadata(world: World) -> None:
    made = request(
        {"service.name": "shop", "k8s.pod.name": "p-1", "host.name": "h1", "k8s.job.name": ""},
        b"paid",
        own={"http.status": "200", "1st": "x"},
        severity_number=17,
        severity_text=b"ERROR",
        observed_time_unix_nano=T + 9,
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        flags=1,
        dropped_attributes_count=2,
        event_name=b"order.paid",
    )
    scope = made.resource_logs[0].scope_logs[0].scope
    scope.name, scope.version, scope.dropped_attributes_count = b"orders", b"1.2", 3
    scope.attributes.add(key=b"lib").value.bool_value = True
    answer = post(world, made)
    assert (answer.status_code, answer.content) == (204, b"")
    assert stored(world) == [
        (
            (("k8s_pod_name", "p-1"), ("service_name", "shop")),
            T,
            b"paid",
            {
                "http_status": b"200",
                "key_1st": b"x",
                "host_name": b"h1",
                "lib": b"true",
                "scope_name": b"orders",
                "scope_version": b"1.2",
                "scope_dropped_attributes_count": b"3",
                "observed_timestamp": b"%d" % (T + 9),
                "severity_number": b"17",
                "severity_text": b"ERROR",
                "trace_id": bytes(range(16)).hex().encode(),
                "span_id": bytes(range(8)).hex().encode(),
                "flags": b"1",
                "dropped_attributes_count": b"2",
                "event_name": b"order.paid",
                "detected_level": b"error",
            },
        )
    ]


def test_of_one_name_the_scope_wins_over_the_resource_and_that_over_the_record(world: World) -> None:
    made = request({"a.b": "resource", "c": "resource"}, own={"a_b": "record", "c": "record", "d": "record"})
    made.resource_logs[0].scope_logs[0].scope.attributes.add(key=b"c").value.string_value = b"scope"
    post(world, made)
    [(labels, _, _, metadata)] = stored(world)
    assert labels == (("service_name", "unknown_service"),)
    assert {name: metadata[name] for name in ("a_b", "c", "d")} == {"a_b": b"resource", "c": b"scope", "d": b"record"}


def test_maps_become_a_pair_for_each_value(world: World) -> None:
    made = request({"service.name": "s"})
    for attributes in (
        made.resource_logs[0].resource.attributes,
        made.resource_logs[0].scope_logs[0].log_records[0].attributes,
    ):
        pair = attributes.add(key=b"http.request")
        inner = pair.value.kvlist_value.values.add(key=b"header")
        inner.value.kvlist_value.values.add(key=b"x-id").value.int_value = 7
        pair.value.kvlist_value.values.add(key=b"ok").value.array_value.values.add().bool_value = True
    post(world, made)
    [(_, _, _, metadata)] = stored(world)
    assert metadata["http_request_header_x_id"] == b"7"
    assert metadata["http_request_ok"] == b"[true]"


def test_a_record_without_a_time_has_that_of_its_observation_or_now(world: World) -> None:
    made = LogsRequest()
    records = made.resource_logs.add().scope_logs.add().log_records
    records.add(observed_time_unix_nano=T)
    records.add()
    before = time.time_ns()
    assert post(world, made).status_code == 204
    (_, first, line, metadata), (_, second, _, _) = stored(world)
    assert (first, line) == (T, b"")
    assert "observed_timestamp" not in metadata
    assert before <= second <= time.time_ns()


def test_the_resources_of_a_request_are_streams_and_equal_ones_one(world: World) -> None:
    made = request({"service.name": "a"}, b"1")
    made.resource_logs.add().CopyFrom(request({"service.name": "b"}, b"2").resource_logs[0])
    made.resource_logs.add().CopyFrom(request({"service.name": "a"}, b"3").resource_logs[0])
    made.resource_logs.add().resource.attributes.add(key=b"service.name").value.string_value = b"silent"
    assert post(world, made).status_code == 204
    [(_, batch)] = world.store.batches
    assert sorted(batch.streams) == [(("service_name", "a"),), (("service_name", "b"),)]
    assert [(dict(labels)["service_name"], line) for labels, _, line, _ in stored(world)] == [
        ("a", b"1"),
        ("b", b"2"),
        ("a", b"3"),
    ]


CONFIG = {
    "resource_attributes": {
        "ignore_defaults": True,
        "attributes_config": [
            {"action": "index_label", "attributes": ["service.name", "team"]},
            {"action": "drop", "regex": "process\\..*"},
            {"action": "index_label", "regex": "zone.*"},
        ],
    },
    "scope_attributes": [{"action": "drop", "attributes": ["lib"]}],
    "log_attributes": [{"action": "drop", "regex": "secret.*"}],
}


def test_otlp_config_says_what_becomes_of_attributes(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"otlp_config": CONFIG})
    attributes = {
        "service.name": "s",
        "team": "t",
        "k8s.pod.name": "p",
        "process.pid": "1",
        "zone.a": "z",
        "myzone": "m",
    }
    made = request(attributes, own={"secret.key": "x", "kept": "y"})
    scope = made.resource_logs[0].scope_logs[0].scope
    scope.attributes.add(key=b"lib").value.string_value = b"l"
    scope.attributes.add(key=b"lib2").value.string_value = b"l"
    assert post(world, made).status_code == 204
    [(labels, _, _, metadata)] = stored(world)
    assert labels == (("service_name", "s"), ("team", "t"), ("zone_a", "z"))
    assert set(metadata) == {"k8s_pod_name", "myzone", "kept", "lib2", "detected_level"}


def test_what_records_have_can_be_labels(make_world: Callable[..., World]) -> None:
    rules = [{"action": "index_label", "attributes": ["http.method"]}]
    world = make_world(limits={"otlp_config": {"log_attributes": rules, "severity_text_as_label": True}})
    made = request({"service.name": "s"}, own={"http.method": "GET", "id": "7"}, severity_text=b"WARN")
    assert post(world, made).status_code == 204
    [(labels, _, _, metadata)] = stored(world)
    assert labels == (("http_method", "GET"), ("service_name", "s"), ("severity_text", "WARN"))
    assert metadata == {"id": b"7", "detected_level": b"warn"}


def test_the_default_list_cannot_be_undone_without_saying_so(make_world: Callable[..., World]) -> None:
    rule = {"action": "drop", "attributes": ["service.name", "host.name"]}
    world = make_world(limits={"otlp_config": {"resource_attributes": {"attributes_config": [rule]}}})
    post(world, request({"service.name": "s", "host.name": "h"}))
    [(labels, _, _, metadata)] = stored(world)
    assert (labels, set(metadata)) == ((("service_name", "s"),), {"detected_level"})


def _bare(raw: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(raw) + deflater.flush()


@pytest.mark.parametrize(
    ("encoding", "wrap"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", _bare),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("zstd", lambda raw: zstandard.compress(raw[:9]) + zstandard.compress(raw[9:])),
        ("lz4", lz4.frame.compress),
        ("lz4", lambda raw: lz4.frame.compress(raw[:9]) + lz4.frame.compress(raw[9:])),
    ],
)
def test_encodings(make_world: Callable[..., World], encoding: str, wrap: Callable[[bytes], bytes]) -> None:
    made = request(None, *[b"line %d" % number for number in range(3000)]).SerializeToString()
    world = make_world(limits={"max_decompressed_size": len(made)})
    packed = wrap(made)
    assert post(world, packed, **{"Content-Encoding": encoding}).status_code == 204
    assert len(stored(world)) == 3000
    cut = post(world, packed[:-9], **{"Content-Encoding": encoding})
    assert (cut.status_code, message(cut)) == (400, "unexpected EOF")
    small = make_world(limits={"max_decompressed_size": len(made) - 1})
    refused = post(small, packed, **{"Content-Encoding": encoding})
    assert refused.status_code == 413
    assert message(refused).startswith("request body too large: decompressed message size too large than max")
    assert len(stored(world)) == 3000
    assert not stored(small)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_bodies_that_are_not_in_their_encoding(world: World, encoding: str) -> None:
    answer = post(
        world, b"\xfe this is something else, and long enough for every header", **{"Content-Encoding": encoding}
    )
    assert answer.status_code == 400
    assert message(answer)


def test_a_body_larger_than_allowed_as_sent(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_recv_msg_size": 10})
    answer = post(world, request())
    assert answer.status_code == 413
    assert message(answer) == "request body too large: message size too large than max (51 vs 10)"


def test_a_big_request_is_decoded_beside_the_loop(world: World) -> None:
    assert post(world, request(None, b"x" * INLINE_BYTES)).status_code == 204
    assert len(stored(world)) == 1


def test_what_is_refused_of_a_request_is_told_and_the_rest_stored(world: World) -> None:
    made = request(None, b"kept")
    made.resource_logs[0].scope_logs[0].log_records.add(time_unix_nano=4_102_444_800_000_000_000)
    answer = post(world, made)
    assert answer.status_code == 400
    assert message(answer) == ("entry for stream '{service_name=\"shop\"}' has timestamp too new: 2100-01-01T00:00:00Z")
    assert [line for _, _, line, _ in stored(world)] == [b"kept"]


def test_a_time_beyond_64_bits_wraps_around(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"reject_old_samples": True})
    made = LogsRequest()
    made.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=(1 << 64) - 1)
    answer = post(world, made)
    assert answer.status_code == 400
    assert "has timestamp too old: 1969-12-31T23:59:59Z" in message(answer)


def test_a_name_that_cannot_be_one(world: World) -> None:
    answer = post(world, request(None, own={"": "x"}))
    assert (answer.status_code, message(answer)) == (400, "label name is empty")
    assert not stored(world)


def test_ids_of_another_length(world: World) -> None:
    answer = post(world, request(None, trace_id=b"short"))
    assert (answer.status_code, message(answer)) == (400, "unmarshal: invalid TraceID length")


def test_limits_are_429(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_streams_per_user": 1})
    assert post(world, request({"service.name": "a"})).status_code == 204
    answer = post(world, request({"service.name": "b"}))
    assert answer.status_code == 429
    assert message(answer).startswith("maximum active stream limit exceeded")


def test_while_storage_refuses_it_is_503_with_the_time_to_come_back(world: World) -> None:
    world.store.refusal = StorageUnavailable("the disk is full", 7)
    answer = post(world, request())
    assert (answer.status_code, answer.headers["retry-after"], message(answer)) == (503, "7", "the disk is full")


def test_what_would_be_500_is_503(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.store.refusal = StorageError("the batch could not be stored")
    answer = post(world, request())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert message(answer) == "the batch could not be stored"

    def broken(*_: object, **__: object) -> None:
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr(world.store, "append", broken)
    answer = post(world, request())
    assert (answer.status_code, message(answer)) == (503, "internal server error")
    assert world.metric("loki_panic_total") == 1


def test_without_a_tenant_it_is_401_in_plain_text(make_world: Callable[..., World]) -> None:
    world = make_world(tenancy={"enabled": True})
    answer = post(world, request())
    assert (answer.status_code, answer.text) == (401, "no org id\n")
    assert post(world, request(), **{"X-Scope-OrgID": "acme"}).status_code == 204
    assert world.store.batches[0][0] == "acme"


def test_what_came_is_counted_as_otlp(world: World) -> None:
    post(world, request(None, b"12345"))
    counted = 'tenant="fake"'
    assert (
        world.metric(
            f'loki_distributor_lines_received_total{{format="otlp",is_internal_stream="false",policy="",{counted}}}'
        )
        == 1
    )
    assert (
        world.metric(
            "loki_distributor_push_stats_count{"
            f'content_encoding="",content_type="{PROTOBUF}",content_version="v1",format="otlp",{counted}}}'
        )
        == 1
    )


def as_json(world: World, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return world.ask("POST", LOGS, content=content, headers={"Content-Type": JSON})


def test_json_says_what_protobuf_does(world: World) -> None:
    record = {
        "timeUnixNano": str(T),
        "observedTimeUnixNano": T + 1,
        "severityNumber": "SEVERITY_NUMBER_WARN2",
        "severityText": "WARN",
        "body": {"kvlistValue": {"values": [{"key": "a", "value": {"arrayValue": {"values": [{"intValue": "-5"}]}}}]}},
        "attributes": [
            {"key": "d", "value": {"doubleValue": "NaN"}},
            {"key": "e", "value": {"doubleValue": 1}},
            {"key": "b", "value": {"bytesValue": "AP8="}},
            {"key": "n", "value": None},
            {"key": "z", "value": {"boolValue": False, "stringValue": None}},
        ],
        "droppedAttributesCount": 4,
        "flags": 1,
        "traceId": "0AF7651916CD43DD8448EB211C80319C",
        "spanId": "b7ad6b7169203331",
        "eventName": "e",
        "unknown": {"x": 1},
    }
    body = {
        "resourceLogs": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "é"}}]},
                "scopeLogs": [{"scope": None, "logRecords": [record]}],
            }
        ]
    }
    assert as_json(world, body).status_code == 204
    assert stored(world) == [
        (
            (("service_name", "é"),),
            T,
            b'{"a":[-5]}',
            {
                "d": b"json: unsupported value: NaN",
                "e": b"1",
                "b": b"AP8=",
                "z": b"false",
                "observed_timestamp": b"%d" % (T + 1),
                "severity_number": b"14",
                "severity_text": b"WARN",
                "dropped_attributes_count": b"4",
                "flags": b"1",
                "trace_id": b"0af7651916cd43dd8448eb211c80319c",
                "span_id": b"b7ad6b7169203331",
                "event_name": b"e",
                "detected_level": b"warn",
            },
        )
    ]


def test_json_with_the_names_of_the_proto_file(world: World) -> None:
    record = {"time_unix_nano": T, "severity_number": 9, "trace_id": "00" * 15 + "01", "body": {"string_value": "x"}}
    body = {"resource_logs": [{"scope_logs": [{"log_records": [record]}]}]}
    assert as_json(world, body).status_code == 204
    [(_, ts, line, metadata)] = stored(world)
    assert (ts, line, metadata["severity_number"]) == (T, b"x", b"9")


def logs_with(record: dict[str, Any]) -> dict[str, Any]:
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"resourceLogs"', "invalid JSON"),
        (b'{"resourceLogs": "\xff"}', "invalid JSON"),
        (b"[]", "ReadObject: expect { or , or } or n, but found [, error found in #1 byte of ...|[]|..."),
        ({"resourceLogs": {}}, "resourceLogs is not an array"),
        ({"resourceLogs": [3]}, "resourceLogs is not an object"),
        (logs_with({"timeUnixNano": "soon"}), "timeUnixNano is not an integer"),
        (logs_with({"timeUnixNano": -1}), "timeUnixNano is not an integer"),
        (logs_with({"traceId": "xyz"}), "traceId is not hexadecimal"),
        (logs_with({"traceId": "abcd"}), "unmarshal: invalid TraceID length"),
        (logs_with({"body": {"intValue": "9223372036854775808"}}), "intValue is not an integer"),
        (logs_with({"body": {"doubleValue": "one"}}), "doubleValue is not a number"),
        (logs_with({"body": {"bytesValue": "???"}}), "bytesValue is not base64"),
        (logs_with({"body": {"boolValue": 1}}), "boolValue is not true or false"),
        (logs_with({"body": {"stringValue": 1}}), "stringValue is not a string"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "invalid JSON"),
    ],
)
def test_json_that_is_refused(world: World, body: Any, text: str) -> None:
    answer = as_json(world, body)
    assert answer.status_code == 400
    assert message(answer).startswith(text)
    assert not stored(world)


@pytest.mark.parametrize("body", [b"null", b"{}", b'{"resourceLogs":[{"resource":{}}]}'])
def test_json_without_records_is_422(world: World, body: bytes) -> None:
    answer = as_json(world, body)
    assert (answer.status_code, message(answer)) == (422, "error at least one valid stream is required for ingestion")
