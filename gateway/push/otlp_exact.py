"""OTLP logs by the protobuf library: what decides about every request, a record at a time.

The kernel that walks the wire format hands over whatever it is not sure of, and is tested against this. Names and
their order are Loki's: a record's attributes, its fields, then what it has of its resource and its scope; of a name
that comes twice the last counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError

from gateway.push.errors import MalformedPush, NoStreams
from gateway.push.label_text import labels_from_pairs
from gateway.push.otlp_messages import LogsRequest
from gateway.push.otlp_rules import Named, Rules, sorted_out
from gateway.push.otlp_values import text_of
from gateway.push.times import signed
from storage.batch import Batch, Labels
from storage.build import BatchBuilder

SEVERITY_TEXT = "severity_text"
_ID_BYTES = {"trace_id": 16, "span_id": 8}
_ID_NAMES = {"trace_id": "TraceID", "span_id": "SpanID"}


def parse(raw: bytes) -> Any:
    """The request.

    Raises:
        MalformedPush: it is none.
    """
    request = LogsRequest()
    try:
        request.ParseFromString(raw)
    except DecodeError:
        raise MalformedPush("unexpected EOF") from None
    return request


def decode_exact(raw: bytes, rules: Rules, now: int) -> Batch:
    """The records of an ExportLogsServiceRequest.

    Args:
        raw: the message.
        rules: the tenant's.
        now: ns, the time of a record that has none.

    Raises:
        MalformedPush: the message, an id or an attribute's name is refused.
        NoStreams: it has no record.
        PushTooLarge: a label set is too long.
    """
    builder = BatchBuilder()
    for logs in parse(raw).resource_logs:
        labels, own = resource_parts(logs.resource, rules)
        streams: dict[tuple[Named, ...], int] = {}
        for scoped in logs.scope_logs:
            shared = own | scope_metadata(scoped.scope, rules)
            for record in scoped.log_records:
                further, pairs = _record_parts(record, rules)
                stream = streams.get(further)
                if stream is None:
                    stream = streams[further] = builder.add_stream(label_set(labels | dict(further)))
                ts = record.time_unix_nano or record.observed_time_unix_nano or now
                builder.add(stream, signed(ts), text_of(record.body), (pairs | shared).items())
    if not len(builder):
        raise NoStreams
    return builder.build()


def resource_parts(resource: Any, rules: Rules) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The labels and the structured metadata that a Resource gives to every record of it."""
    labels, metadata = sorted_out(resource.attributes, rules.resource)
    return dict(labels), dict(metadata)


def scope_metadata(scope: Any, rules: Rules) -> dict[str, bytes]:
    """The structured metadata that an InstrumentationScope gives to every record of it."""
    _, pairs = sorted_out(scope.attributes, rules.scope)
    found = dict(pairs)
    if scope.name:
        found["scope_name"] = scope.name
    if scope.version:
        found["scope_version"] = scope.version
    if scope.dropped_attributes_count:
        found["scope_dropped_attributes_count"] = b"%d" % scope.dropped_attributes_count
    return found


def label_set(labels: Mapping[str, bytes]) -> Labels:
    """Labels as a stream has them; what is no UTF-8 becomes U+FFFD."""
    return labels_from_pairs({name: value.decode("utf-8", "surrogateescape") for name, value in labels.items()})


def _record_parts(record: Any, rules: Rules) -> tuple[tuple[Named, ...], dict[str, bytes]]:
    """The labels that are the record's own, and its structured metadata."""
    labels, pairs = sorted_out(record.attributes, rules.log)
    found = dict(pairs)
    if record.time_unix_nano and record.observed_time_unix_nano:
        found["observed_timestamp"] = b"%d" % signed(record.observed_time_unix_nano)
    if record.severity_number:
        found["severity_number"] = b"%d" % record.severity_number
    if record.severity_text:
        if rules.severity_is_label:
            labels.append((SEVERITY_TEXT, record.severity_text))
        else:
            found[SEVERITY_TEXT] = record.severity_text
    for name in ("dropped_attributes_count", "flags"):
        if getattr(record, name):
            found[name] = b"%d" % getattr(record, name)
    for name, size in _ID_BYTES.items():
        value: bytes = getattr(record, name)
        if len(value) not in (0, size):
            raise MalformedPush(f"unmarshal: invalid {_ID_NAMES[name]} length")
        if any(value):
            found[name] = value.hex().encode()
    if record.event_name:
        found["event_name"] = record.event_name
    return tuple(sorted(dict(labels).items())), found
