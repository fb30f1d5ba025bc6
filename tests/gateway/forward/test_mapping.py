"""What the events of real senders become: streams, lines and structured metadata."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack
import pytest

from config.forward_mapping import ForwardMapping, TagParts
from config.limits import Limits
from gateway.forward.mapping import Mapped, map_entries
from gateway.forward.mapping_rules import compile_rules, metadata_name, tag_value
from gateway.push.streams import TenantStreams
from gateway.push.validate import validate
from storage.batch import Batch

CAPTURES = Path(__file__).parent / "captures"
NOW = 1_800_000_000_000_000_000
T = 1_700_000_000
ID = "a" * 64

Event = tuple[int, dict[str, str], str, dict[str, str]]


def event_time(seconds: int, nanos: int = 0) -> msgpack.ExtType:
    return msgpack.ExtType(0, struct.pack(">II", seconds, nanos))


def mapped(
    *entries: Any,
    tag: bytes = b"app.web",
    option: Mapping[str, object] | None = None,
    limits: Limits | None = None,
    **settings: Any,
) -> Mapped:
    raw = b"".join(msgpack.packb(entry) for entry in entries)
    return map_entries(tag, option or {}, raw, compile_rules(ForwardMapping(**settings), limits), NOW, "fake")


def events(batch: Batch) -> list[Event]:
    lines = batch.lines.tolist()
    found = []
    for row, line in enumerate(lines):
        metadata = {name: column[row] for name, column in batch.metadata.items()}
        found.append(
            (
                int(batch.ts[row]),
                dict(batch.streams[batch.stream[row]]),
                line.decode("utf-8", "surrogateescape"),
                {
                    name: value.decode("utf-8", "surrogateescape")
                    for name, value in metadata.items()
                    if value is not None
                },
            )
        )
    return found


def only(result: Mapped) -> Event:
    assert not result.bad
    (batch,) = result.batches.values()
    (event,) = events(batch)
    return event


def replayed(name: str, **settings: Any) -> list[Event]:
    """The events of a capture, sender's bytes to columns."""
    rules = compile_rules(ForwardMapping(**settings))
    found = []
    rest = (CAPTURES / name).read_bytes()
    while rest:
        unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
        unpacker.feed(rest)
        members = unpacker.read_array_header()
        tag = unpacker.unpack()
        begun = unpacker.tell()
        entries = unpacker.unpack()
        if isinstance(entries, list):
            body = rest[begun : unpacker.tell()]
            entries = body[{0x9: 1, 0xD: 3 if body[0] == 0xDC else 5}[body[0] >> 4] :]
            members -= 2
        elif not isinstance(entries, bytes):
            unpacker.skip()
            entries = b"\x92" + rest[begun : unpacker.tell()]
            members -= 3
        else:
            members -= 2
        for _ in range(members):
            unpacker.skip()
        rest = rest[unpacker.tell() :]
        result = map_entries(tag, {}, entries, rules, NOW, "fake")
        assert not result.bad
        found += [event for batch in result.batches.values() for event in events(batch)]
    return found


# -- senders


def test_fluent_bit_with_acknowledgements() -> None:
    rest = {"app": "web", "n": "5", "neg": "-7", "f": "1.5", "t": "true", "list": '[1,"b"]', "ctx_user": "ann"}
    metadata = {**rest, "fluent_tag": "app.web"}
    assert replayed("forward/05-require_ack_response.c0.bin") == [
        (1795311447102733482, {"job": "fluent"}, "hello", metadata),
        (1795311449104235715, {"job": "fluent"}, "hello", metadata),
    ]


def test_fluent_bit_with_metadata_of_events() -> None:
    for _, _, line, metadata in replayed("forward/02-defaults-with-log-metadata.bin"):
        assert line == "hello"
        assert metadata["trace_id"] == "abc"
        assert metadata["k"] == "1"


def test_fluent_bit_with_opentelemetry_groups() -> None:
    labels = {"job": "fluent", "service_name": "shop"}
    scope = {"scope_name": "lib", "scope_version": "1", "fluent_tag": "otel"}
    assert replayed("forward/29-otlp-logs-groups.bin") == [
        (
            T * 10**9 + 123456789,
            labels,
            "hi",
            {
                **scope,
                "severity_number": "13",
                "severity_text": "WARN",
                "k": "4",
                "trace_id": "5b8efff798038103d269b633813fc60c",
                "span_id": "eee19b7ec3c1b174",
            },
        ),
        (T * 10**9 + 223456789, labels, '{"m":"x"}', scope),
    ]
    assert [line for _, _, line, _ in replayed("forward/31-otlp-logs-retain_metadata-false.bin")] == ["hi", '{"m":"x"}']


def docker(**more: str) -> dict[str, str]:
    return {"container_id": ID, "fluent_tag": ID[:12], **more}


DOCKER = {"job": "docker", "container": "web-1", "service_name": "web-1", "stream": "stdout"}


def test_docker() -> None:
    line = "hello from docker"
    assert replayed("clients/docker-synth-01-default.bin", preset="docker") == [(T * 10**9, DOCKER, line, docker())]
    (event,) = replayed("clients/docker-synth-02-sub-second-precision.bin", preset="docker")
    assert event[0] % 10**9
    assert replayed("clients/docker-synth-03-request-ack.bin", preset="docker")[0][1:] == (DOCKER, line, docker())
    assert replayed("clients/docker-synth-07-docker18-nil-option.bin", preset="docker")[0][1:] == (
        DOCKER,
        line,
        docker(),
    )


def test_docker_with_the_default_preset() -> None:
    labels = {"job": "fluent", "container": "web-1", "service_name": "web-1"}
    (event,) = replayed("clients/docker-synth-01-default.bin")
    assert event == (T * 10**9, labels, "hello from docker", docker(source="stdout"))


def test_docker_parts_of_several_messages_stay_parts() -> None:
    found = replayed("clients/docker-synth-04-partial.bin", preset="docker")
    assert [metadata["partial_ordinal"] for *_, metadata in found] == ["1", "2", "3"]
    assert all(metadata["partial_id"] == "p1" for *_, metadata in found)


def test_docker_with_labels_and_environment() -> None:
    (event,) = replayed("clients/docker-synth-05-env-labels-extra.bin", preset="docker")
    more = {"fluent_tag": "docker.web", "ENVIRONMENT": "prod", "container_id": ID}
    assert event[1:] == ({**DOCKER, "service_name": "web"}, "hello from docker", more)


def test_docker_with_a_line_that_is_not_utf_8() -> None:
    (event,) = replayed("clients/docker-synth-06-invalid-utf8-log.bin", preset="docker")
    assert event[2].encode("utf-8", "surrogateescape") == b"hello \xff\xfe\x80 binary!"


def pod() -> dict[str, Any]:
    return {
        "log": "GET / 200\n",
        "stream": "stderr",
        "kubernetes": {
            "pod_name": "web-7c9f5-x2x4z",
            "namespace_name": "shop",
            "container_name": "app",
            "labels": {"app": "web", "app.kubernetes.io/name": "shop-web"},
            "annotations": {"note/one": "x"},
        },
    }


def test_kubernetes() -> None:
    _, labels, line, metadata = only(mapped([event_time(T), pod()], preset="kubernetes", tag=b"kube.web"))
    assert labels == {
        "job": "kubernetes",
        "service_name": "shop-web",
        "namespace": "shop",
        "container": "app",
        "stream": "stderr",
    }
    assert line == "GET / 200"
    assert metadata == {
        "kubernetes_pod_name": "web-7c9f5-x2x4z",
        "kubernetes_labels_app": "web",
        "kubernetes_annotations_note_one": "x",
        "fluent_tag": "kube.web",
    }


# -- lines


@pytest.mark.parametrize("text", ["plain", " spaces kept ", "", "two\nlines", "\n\nfirst"])
def test_a_line_reads_as_its_author_wrote_it(text: str) -> None:
    assert only(mapped([T, {"log": text}]))[2] == text
    assert only(mapped([T, {"message": text + "\n"}]))[2] == text
    assert only(mapped([T, {"msg": text + "\r\n"}]))[2] == text


def test_the_best_key_is_the_line_and_the_others_are_metadata() -> None:
    _, _, line, metadata = only(mapped([T, {"msg": "b", "log": "a"}]))
    assert line == "a"
    assert metadata["msg"] == "b"
    assert only(mapped([T, {"msg": "b", "log": "a"}], line_keys=("$msg",)))[2] == "b"


def test_a_record_without_a_line_is_json_without_what_became_a_label() -> None:
    record = {"b": 1, "a": "é\n\x01", "n": None, "kubernetes": {"namespace_name": "shop", "x": [1.5, True, {}]}}
    _, labels, line, metadata = only(mapped([T, record]))
    assert labels["namespace"] == "shop"
    assert line == '{"b":1,"a":"é\\n\\u0001","n":null,"kubernetes":{"x":[1.5,true,{}]}}'
    assert metadata == {"fluent_tag": "app.web"}


def test_a_record_that_is_no_map_is_the_line() -> None:
    assert only(mapped([T, "text"]))[2] == "text"
    assert only(mapped([T, [1, "b"]]))[2] == '[1,"b"]'
    assert mapped([T, None]).bad == {"no_record": 1}


def test_lines_as_json_and_as_pairs() -> None:
    record = {"log": "a b", "level": "info", "n": 5, "ctx": {"user": "ann"}}
    assert only(mapped([T, record], line_format="json"))[2] == '{"log":"a b","level":"info","n":5,"ctx":{"user":"ann"}}'
    assert only(mapped([T, record], line_format="key_value"))[2] == 'log="a b" level=info n=5 ctx_user=ann'
    _, labels, line, metadata = only(
        mapped([T, record], line_format="json", labels=("level=$level",), metadata=("user=$ctx.user",))
    )
    assert (labels, line) == ({"level": "info"}, '{"log":"a b","n":5,"ctx":{}}')
    assert metadata == {"user": "ann", "fluent_tag": "app.web"}


def test_removed_keys_are_stored_nowhere() -> None:
    record = {"log": "x", "password": "p", "ctx": {"secret": "s", "user": "u"}}
    assert only(mapped([T, record], remove_keys=("$password", "$ctx.secret")))[3] == {
        "ctx_user": "u",
        "fluent_tag": "app.web",
    }
    wide = {**record, **{f"k{number}": "v" for number in range(300)}}
    assert '"password"' not in only(mapped([T, wide], remove_keys=("$password", "$ctx")))[2]
    assert "secret" not in only(mapped([T, wide], remove_keys=("$password", "$ctx")))[2]


def test_a_record_with_more_metadata_than_is_taken_keeps_it_in_its_line() -> None:
    wide = {"log": "x", **{f"k{number}": number for number in range(200)}}
    _, _, line, metadata = only(mapped([T, wide]))
    assert line == msgpack_json(wide)
    assert metadata == {"fluent_tag": "app.web"}
    long = {"log": "x", "trace": "t" * 40_000}
    assert only(mapped([T, long]))[2] == msgpack_json(long)
    (batch,) = mapped([T, wide], [T, long]).batches.values()
    verdict = validate(batch, "fake", Limits(), T * 10**9, TenantStreams())
    assert verdict.error is None
    assert verdict.batch is not None
    assert len(verdict.batch) == 2


def msgpack_json(record: dict[str, Any]) -> str:
    return "{" + ",".join(f'"{k}":"{v}"' if isinstance(v, str) else f'"{k}":{v}' for k, v in record.items()) + "}"


def test_a_message_with_very_many_keys_loses_none() -> None:
    entries: list[Any] = [[T, {f"k{number}-{row}": "v" for number in range(100)}] for row in range(60)]
    (batch,) = mapped(*entries).batches.values()
    assert [line for _, _, line, _ in events(batch)] == [msgpack_json(record) for _, record in entries]
    entries = [[T, {"log": "x", **{f"k{number}-{row}": "v" for number in range(100)}}] for row in range(60)]
    (batch,) = mapped(*entries).batches.values()
    assert batch.rest is not None
    lines = batch.lines.tolist()
    assert lines[0] == b"x"
    assert lines[-1].decode() == msgpack_json(entries[-1][1])


def test_a_record_of_very_many_values_is_one_line() -> None:
    record = {"log": "x", "app": "web", **{f"k{number % 50}": {f"{number}": 1} for number in range(50)}}
    record["more"] = {f"k{number}": number for number in range(20_000)}
    _, labels, line, metadata = only(mapped([T, record], labels=("app=$app",)))
    assert labels == {"app": "web"}
    assert json.loads(line) == record
    assert metadata == {"fluent_tag": "app.web"}


# -- labels


def test_labels_from_paths_tag_and_constants() -> None:
    record = {"log": "x", "kubernetes": {"labels": {"app.kubernetes.io/name": "web"}}, "n": 7}
    labels = (
        "app=$missing|$kubernetes['labels'][\"app.kubernetes.io/name\"]",
        "first=$TAG[0]",
        "rest=$TAG[1:]",
        "tag=$TAG",
        "$n",
        "job=constant",
        "none=$missing",
        "fallback=$missing|else",
    )
    assert only(mapped([T, record], tag=b"app.web.eu", labels=labels))[1] == {
        "app": "web",
        "first": "app",
        "rest": "web.eu",
        "tag": "app.web.eu",
        "n": "7",
        "job": "constant",
        "fallback": "else",
    }


@pytest.mark.parametrize(
    "tag",
    ["0123456789ab", "kube.var.log.containers.web_shop_app-0123.log", "docker.0123456789ABCDEF", "x-0123456789abcdef"],
)
def test_a_tag_that_names_a_container_or_a_file_is_no_label(tag: str) -> None:
    assert tag_value(tag, TagParts()) == ""
    assert tag_value("app.web", TagParts()) == "app.web"


def test_values_that_are_no_labels_stay_metadata() -> None:
    _, labels, _, metadata = only(mapped([T, {"log": "x", "a": "v" * 3000, "b": ""}], labels=("a=$a", "b=$b", "job=j")))
    assert labels == {"job": "j"}
    assert metadata["a"] == "v" * 3000
    assert "b" not in metadata


def test_equal_label_sets_are_one_stream_in_the_order_of_arrival() -> None:
    (batch,) = mapped(
        *([T, {"log": f"{n}", "app": f"{n % 2}"}] for n in range(6)), labels=("app=$app",)
    ).batches.values()
    assert len(batch.streams) == 2
    assert batch.lines.tolist() == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_labels_may_stay_where_they_were() -> None:
    _, labels, _, metadata = only(mapped([T, {"log": "x", "a": "v"}], labels=("a=$a",), keep_label_keys=True))
    assert labels["a"] == metadata["a"] == "v"


@pytest.mark.parametrize("name", ["日本", "", "___"])
def test_keys_of_which_no_name_can_be_made_have_one_all_the_same(name: str) -> None:
    (batch,) = mapped([T, {"log": "x", name: "v"}]).batches.values()
    verdict = validate(batch, "fake", Limits(), T * 10**9, TenantStreams())
    assert verdict.error is None
    assert verdict.batch is not None
    assert f"key_{name.encode().hex()}" in verdict.batch.metadata


def test_names_of_metadata() -> None:
    assert metadata_name(0, ["com.docker.compose.service"]) == "com_docker_compose_service"
    assert metadata_name(1, ["otlp", "attributes", "http.route"]) == "http_route"
    assert metadata_name(1, ["otlp", "severity_text"]) == "severity_text"
    assert metadata_name(2, ["resource", "attributes", "host.name"]) == "host_name"
    assert metadata_name(2, ["scope", "name"]) == "scope_name"


def test_levels() -> None:
    (batch,) = mapped([T, {"log": "x", "prio": "WARNING"}], level_keys=("$prio",)).batches.values()
    verdict = validate(batch, "fake", Limits(), T * 10**9, TenantStreams())
    assert verdict.batch is not None
    assert verdict.batch.metadata["detected_level"][0] == b"warn"
    assert "prio" not in verdict.batch.metadata


# -- tenants


def test_tenants_by_key() -> None:
    found = mapped(
        [T, {"log": "a", "org": "acme"}],
        [T, {"log": "b"}],
        [T, {"log": "c", "org": "acme"}],
        [T, {"log": "d", "org": "no/tenant"}],
        tenant_key="$org",
    )
    lines = {tenant: batch.lines.tolist() for tenant, batch in found.batches.items()}
    assert lines == {"acme": [b"a", b"c"], "fake": [b"b", b"d"]}
    assert found.bad == {"no_tenant": 1}
    assert all("org" not in batch.metadata for batch in found.batches.values())


def test_a_tenant_key_that_is_removed_still_names_the_tenant() -> None:
    found = mapped([T, {"log": "a", "org": "acme"}], tenant_key="$org", remove_keys=("$org",))
    assert list(found.batches) == ["acme"]


def test_tenants_by_option() -> None:
    assert list(mapped([T, {"log": "a"}], option={"tenant": b"acme"}, tenant_option="tenant").batches) == ["acme"]
    assert list(mapped([T, {"log": "a"}], option={"tenant": b"acme"}).batches) == ["fake"]
    refused = mapped([T, {"log": "a"}], option={"tenant": b"a/b"}, tenant_option="tenant")
    assert (list(refused.batches), refused.bad) == (["fake"], {"no_tenant": 1})


# -- times


@pytest.mark.parametrize(
    ("time", "ns"),
    [
        (T, T * 10**9),
        (event_time(T, 5), T * 10**9 + 5),
        (float(T) + 0.25, T * 10**9 + 250_000_000),
        (1_700_000_000_750.0, 1_700_000_000_750_000_000),
        (1_700_000_000_750_123.0, 1_700_000_000_750_123_000),
        (0, NOW),
        (None, NOW),
        (event_time(0, 0), NOW),
        (event_time(0xFFFFFFFD, 0), 0xFFFFFFFD * 10**9),
        ([event_time(T, 7), {}], T * 10**9 + 7),
        ([event_time(T, 7)], T * 10**9 + 7),
        (msgpack.Timestamp(T, 9), T * 10**9 + 9),
    ],
)
def test_times(time: Any, ns: int) -> None:
    assert only(mapped([time, {"log": "x"}]))[0] == ns


@pytest.mark.parametrize("time", [-1, float("nan"), float("inf"), -2.5, "1700000000", event_time(T, 10**9), {}, []])
def test_times_that_are_none_are_the_time_of_arrival(time: Any) -> None:
    found = mapped([time, {"log": "x"}])
    assert found.bad == {"bad_time": 1}
    assert events(found.batches["fake"])[0][0] == NOW


# -- bad entries, groups, parts


def test_bad_entries_do_not_cost_the_good_ones() -> None:
    found = mapped([T, {"log": "a"}], 5, [T], {}, [T, {"log": "b"}])
    assert found.batches["fake"].lines.tolist() == [b"a", b"b"]
    assert found.bad == {"not_an_entry": 3}
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    found = mapped([T, {"log": "a", "deep": deep}], [T, {"log": "b"}])
    assert found.batches["fake"].lines.tolist() == [b"b"]
    assert found.bad == {"too_deep": 1}


def test_a_payload_that_is_cut_keeps_its_whole_entries() -> None:
    raw = msgpack.packb([T, {"log": "a"}]) + msgpack.packb([T, {"log": "b"}])
    rules = compile_rules(ForwardMapping())
    for size in range(len(raw) // 2 + 1, len(raw)):
        found = map_entries(b"t", {}, raw[:size], rules, NOW, "fake")
        assert found.batches["fake"].lines.tolist() == [b"a"]
        assert found.bad == {"cut_short": 1}
    found = map_entries(b"t", {}, b"\xc1" * 5, rules, NOW, "fake")
    assert (found.batches, found.bad) == ({}, {"malformed": 1})


def test_a_group_ends_with_its_marker_and_with_the_message() -> None:
    begin = [[event_time(0xFFFFFFFF), {}], {"resource": {"attributes": {"service.name": "shop", "zone": "z"}}}]
    end = [[event_time(0xFFFFFFFE), {}], {}]
    (batch,) = mapped(
        [T, {"log": "a"}], begin, [T, {"log": "b", "zone": "own"}], end, [T, {"log": "c"}]
    ).batches.values()
    assert [
        (line, labels.get("service_name"), metadata.get("zone")) for _, labels, line, metadata in events(batch)
    ] == [
        ("a", None, None),
        ("b", "shop", "own"),
        ("c", None, None),
    ]


def test_a_large_group_before_very_many_entries_does_not_take_memory_for_each() -> None:
    begin = [[event_time(0xFFFFFFFF), {}], {f"k{number}": "" for number in range(500)}]
    found = mapped(begin, *([T, {}] for _ in range(5000)))
    assert found.bad["group_too_large"] > 4000
    assert len(found.batches["fake"]) == 5000


def part(ordinal: int, text: str, *, last: bool = False, name: str = "p", container: str = ID) -> list[Any]:
    record = {"container_id": container, "log": text, "partial_message": "true", "partial_id": name}
    return [T, {**record, "partial_ordinal": str(ordinal), "partial_last": "true" if last else "false"}]


def test_parts_of_a_line_in_one_message_are_joined() -> None:
    found = mapped(
        part(1, "a"), part(1, "x", name="q"), part(2, "b"), [T, {"log": "between"}], part(3, "c\n", last=True),
        part(2, "y", last=True, name="q"),
    )  # fmt: skip
    assert [(line, sorted(metadata)) for _, _, line, metadata in events(found.batches["fake"])] == [
        ("abc", ["container_id", "fluent_tag"]),
        ("xy", ["container_id", "fluent_tag"]),
        ("between", ["fluent_tag"]),
    ]


@pytest.mark.parametrize(
    "parts",
    [
        [part(1, "a"), part(2, "b")],
        [part(2, "b"), part(3, "c", last=True)],
        [part(1, "a"), part(3, "c", last=True)],
        [part(1, "a"), part(1, "b"), part(2, "c", last=True)],
        [part(1, "a"), part(2, "b", last=True, container="other")],
        [part(1, "a" * 200_000), part(2, "b" * 200_000, last=True)],
    ],
    ids=["no end", "no beginning", "a hole", "twice", "of two containers", "too long a line"],
)
def test_parts_that_do_not_make_a_line_stay_parts(parts: list[Any]) -> None:
    found = mapped(*parts).batches["fake"]
    assert found.lines.tolist() == [record["log"].encode() for _, record in parts]
    assert all("partial_id" in metadata for *_, metadata in events(found))
