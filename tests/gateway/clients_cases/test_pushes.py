"""What push agents send: cases 60 to 74 of the catalogue, each as a tenant of its own, and what is stored of each."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
import snappy
import zstandard

from gateway.push.otlp_messages import LogsRequest
from gateway.push.push_messages import PushRequest
from tests.server import running_server

SECOND = 10**9
NOW = time.time_ns() // SECOND * SECOND - 60 * SECOND
"""The time of the entries."""
PUSH, LEGACY, OTLP = "/loki/api/v1/push", "/api/prom/push", "/otlp/v1/logs"
JSON, PROTOBUF = "application/json", "application/x-protobuf"
STATUS = "application/octet-stream"
APP = {"app": "a"}

SETTINGS = (
    "tenancy.enabled=true",
    "overrides.strict.reject_old_samples=true",
    "overrides.rated.ingestion_rate_mb=0.001",
    "overrides.rated.ingestion_burst_size_mb=0.001",
    "overrides.single.max_streams_per_user=1",
)
_names = count()


@dataclass(frozen=True, slots=True)
class PushCase:
    """A push and what comes of it.

    Attributes:
        number: in the catalogue.
        body: in pieces: a chunked body.
        text: what the answer begins with, or "" for an empty body.
        stored: lines that the tenant has then, sorted.
        labels: of its one stream, if that is asked for.
        metadata: of the entry of the greatest line, if that is asked for.
    """

    number: int
    name: str
    body: bytes | Sequence[bytes]
    status: int = 204
    text: str = ""
    stored: Sequence[str] = ("line",)
    path: str = PUSH
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": JSON})
    tenant: str = field(default_factory=lambda: f"t{next(_names)}")
    labels: Mapping[str, str] | None = None
    metadata: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


def values(*entries: Any, stream: Any = APP, before: Sequence[Any] = (), **more: Any) -> bytes:
    """A JSON push of one stream; `before` are streams that come first, `more` members beside `streams`."""
    return json.dumps({**more, "streams": [*before, {"stream": stream, "values": entries}]}).encode()


def entry(line: str = "line", *more: Any, ns: int = NOW) -> list[Any]:
    return [str(ns), line, *more]


def protobuf(*lines: str, labels: str = '{app="a"}') -> bytes:
    made = PushRequest()
    stream = made.streams.add(labels=labels.encode())
    for line in lines or ("line",):
        one = stream.entries.add(line=line.encode())
        one.timestamp.seconds = NOW // SECOND
    message: bytes = made.SerializeToString()
    return message


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def legacy(line: str = "line") -> bytes:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(NOW // SECOND))
    return json.dumps({"streams": [{"labels": '{app="a"}', "entries": [{"ts": moment, "line": line}]}]}).encode()


def otlp() -> Any:
    made = LogsRequest()
    logs = made.resource_logs.add()
    for key, value in ((b"service.name", b"shop"), (b"os.type", b"linux")):
        logs.resource.attributes.add(key=key).value.string_value = value
    record = logs.scope_logs.add().log_records.add(time_unix_nano=NOW, severity_number=17, trace_id=b"\x01" * 16)
    record.body.string_value = b"line"
    return made


OTLP_JSON = {
    "resourceLogs": [
        {
            "resource": {
                "attributes": [
                    {"key": "service.name", "value": {"stringValue": "shop"}},
                    {"key": "os.type", "value": {"stringValue": "linux"}},
                ]
            },
            "scopeLogs": [
                {
                    "logRecords": [
                        {
                            "timeUnixNano": str(NOW),
                            "severityNumber": 17,
                            "traceId": "01" * 16,
                            "body": {"stringValue": "line"},
                        }
                    ]
                }
            ],
        }
    ]
}
SHOP = {"service_name": "shop"}
OF_A_RECORD = {"os_type": "linux", "severity_number": "17", "trace_id": "01" * 16, "detected_level": "error"}


def typed(kind: str, **more: str) -> dict[str, str]:
    return {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in more.items()}}


def refused(number: int, name: str, body: bytes, text: str = "", *, status: int = 400, **more: Any) -> PushCase:
    """A push of which nothing is stored."""
    return PushCase(number, name, body, status, text, **({"stored": ()} | more))


LINE = values(entry())
MANY_LABELS = {f"l{n:02}": "v" for n in range(17)}

CASES = [
    PushCase(60, "2 elements", LINE),
    PushCase(60, "3 elements", values(entry("line", {"k": "v"})), metadata={"k": "v"}),
    PushCase(60, "3 elements, the last empty", values(entry("line", {}))),
    PushCase(
        60, "mixed", values(entry("a"), entry("b", {"k": "v"}, ns=NOW + 1)), stored=("a", "b"), metadata={"k": "v"}
    ),
    PushCase(60, "charset", LINE, headers=typed("application/json; charset=utf-8")),
    PushCase(60, "gzip", gzip.compress(LINE), headers=typed(JSON, Content_Encoding="gzip")),
    PushCase(60, "raw deflate", raw_deflate(LINE), headers=typed(JSON, Content_Encoding="deflate")),
    PushCase(60, "chunked", [LINE[:20], LINE[20:]]),
    PushCase(60, "expect", LINE, headers=typed(JSON, Expect="100-continue")),
    PushCase(61, "snappy", snappy.compress(protobuf()), headers=typed(PROTOBUF, Content_Encoding="snappy")),
    PushCase(61, "snappy unnamed", snappy.compress(protobuf()), headers=typed(PROTOBUF)),
    PushCase(61, "old path", snappy.compress(protobuf()), headers=typed(PROTOBUF), path=LEGACY),
    refused(62, "no content type", LINE, "mime: no media type", headers={}),
    refused(62, "zlib", zlib.compress(LINE), headers=typed(JSON, Content_Encoding="deflate")),
    refused(62, "zstd", zstandard.compress(LINE), headers=typed(JSON, Content_Encoding="zstd")),
    refused(62, "bad JSON", LINE[:-2]),
    refused(62, "empty", b""),
    refused(
        63, "no streams", b'{"streams":[]}', "error at least one valid stream is required for ingestion", status=422
    ),
    PushCase(64, "number", values(entry(), stream={"app": "a", "n": 7}), labels={"app": "a", "n": "7"}),
    PushCase(64, "null", values(entry(), stream={"app": "a", "n": None}), labels=APP),
    PushCase(64, "object", values(entry(), stream={"app": "a", "n": {"deep": 1}})),
    PushCase(64, "no labels", values(entry(), stream={}), labels={"service_name": "unknown_service"}),
    PushCase(64, "empty line", values(entry(""), entry()), stored=("", "line")),
    PushCase(64, "no values", values(entry(), before=[{"stream": {"app": "b"}, "values": None}])),
    PushCase(
        64,
        "unknown keys",
        values(entry(), before=[{"x": {"y": 1}, "stream": {"app": "b"}, "values": []}], more=[1]),
    ),
    PushCase(64, "4th element", values(entry("line", {"k": "v"}, ["more"]))),
    refused(
        65, "dash", values(entry(), stream={"app": "a", "bad-name": "v"}), "couldn't parse labels: 1:14: parse error: "
    ),
    refused(
        65, "slash", values(entry(), stream={"app": "a", "bad/name": "v"}), "couldn't parse labels: 1:14: parse error: "
    ),
    refused(65, "number as time", values([NOW, "line"])),
    refused(65, "exponent as time", values(["1.79e18", "line"])),
    refused(66, "null as metadata", values(entry("line", None), entry())),
    refused(66, "number in metadata", values(entry("line", {"k": 1}), entry())),
    PushCase(67, "old form, old path", legacy(), path=LEGACY),
    PushCase(67, "old form, new path", legacy()),
    PushCase(
        68,
        "too old beside a good one",
        values(entry("old", ns=NOW - 14 * 86_400 * SECOND), entry()),
        400,
        'entry for stream \'{app="a", service_name="a"}\' has timestamp too old: ',
        tenant="strict",
    ),
    PushCase(
        68,
        "too new beside a good one",
        values(entry("new", ns=NOW + 86_400 * SECOND), entry()),
        400,
        'entry for stream \'{app="a", service_name="a"}\' has timestamp too new: ',
    ),
    refused(69, "17 labels", values(entry(), stream=MANY_LABELS), "entry for stream '{l00="),
    refused(69, "300 KB", values(entry("x" * 300_000)), "max entry size '262144' bytes exceeded"),
    refused(
        70,
        "rate",
        values(entry("x" * 3000)),
        "ingestion rate limit exceeded for user rated",
        status=429,
        tenant="rated",
    ),
    PushCase(
        70,
        "streams",
        json.dumps(
            {"streams": [{"stream": {"app": app}, "values": [entry(app)]} for app in ("first", "second")]}
        ).encode(),
        429,
        "maximum active stream limit exceeded",
        stored=("first",),
        tenant="single",
    ),
    PushCase(
        73,
        "protobuf",
        otlp().SerializeToString(),
        path=OTLP,
        headers=typed(PROTOBUF),
        labels=SHOP,
        metadata=OF_A_RECORD,
    ),
    PushCase(
        73,
        "protobuf in gzip",
        gzip.compress(otlp().SerializeToString()),
        path=OTLP,
        headers=typed(PROTOBUF, Content_Encoding="gzip"),
        labels=SHOP,
        metadata=OF_A_RECORD,
    ),
    PushCase(73, "JSON", json.dumps(OTLP_JSON).encode(), path=OTLP, labels=SHOP, metadata=OF_A_RECORD),
    refused(74, "content type", otlp().SerializeToString(), path=OTLP, headers=typed("text/plain")),
    refused(74, "nothing", b"", status=422, path=OTLP, headers=typed(PROTOBUF)),
    refused(
        74,
        "rate",
        otlp().SerializeToString() * 100,
        "ingestion rate limit exceeded for user rated",
        status=429,
        path=OTLP,
        headers=typed(PROTOBUF),
        tenant="rated",
    ),
]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A connection to a server of many tenants."""
    flags = [word for each in SETTINGS for word in ("--set", each)]
    with (
        running_server(tmp_path_factory.mktemp("pushes") / "data", *flags) as server,
        httpx.Client(base_url=server.url, timeout=60) as connection,
    ):
        yield connection


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(agent: httpx.Client, case: PushCase) -> None:
    body = case.body if isinstance(case.body, bytes) else iter(case.body)
    answer = agent.post(case.path, content=body, headers={**case.headers, "X-Scope-OrgID": case.tenant})
    assert answer.status_code == case.status, answer.text
    assert "retry-after" not in answer.headers
    if case.status == 204:
        assert answer.content == b""
    elif case.path == OTLP:
        assert answer.headers["content-type"] == STATUS
        assert case.text.encode() in answer.content
        assert answer.content[:1] == b"\x12", "a google.rpc.Status begins with its message"
    else:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text.endswith("\n")
        assert answer.text.startswith(case.text)
    found = streams(agent, case.tenant)
    assert sorted(line for stream in found for _, line, _ in stream["values"]) == sorted(case.stored)
    if case.labels is not None:
        [stream] = found
        service = {"service_name": case.labels.get("service_name", case.labels.get("app", ""))}
        assert stream["stream"] == {**case.labels, **service}
    if case.metadata is not None:
        last = max((value for stream in found for value in stream["values"]), key=lambda value: value[1])
        assert case.metadata.items() <= last[2]["structuredMetadata"].items()


def streams(agent: httpx.Client, tenant: str) -> list[dict[str, Any]]:
    """All that a tenant has, by stream."""
    answer = agent.get(
        "/loki/api/v1/query_range",
        params={
            "query": '{service_name=~".+"}',
            "start": str(NOW - 20 * 86_400 * SECOND),
            "end": str(NOW + 2 * 86_400 * SECOND),
        },
        headers={"X-Scope-OrgID": tenant, "X-Loki-Response-Encoding-Flags": "categorize-labels"},
    )
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


def test_all_of_the_catalogue_about_pushes_is_asked() -> None:
    # 71 and 72 stand in test_metadata, as they are about what a query gives.
    assert {case.number for case in CASES} == {*range(60, 75)} - {71, 72}
