"""OTLP logs as JSON (protobuf's JSON mapping with OTLP's own rules), into the message protobuf would have brought.

Ids are hexadecimal, 64-bit integers are texts or numbers, names are lowerCamelCase or as in the .proto file (the
collector's pdata takes both), unknown names are skipped, null is nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.push.errors import MalformedPush
from gateway.push.otlp_messages import LogsRequest

_U64 = (1 << 64) - 1
_SEVERITIES = {
    f"SEVERITY_NUMBER_{name}{place or ''}": 4 * level + (place or 1)
    for level, name in enumerate(("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"))
    for place in (0, 2, 3, 4)
} | {"SEVERITY_NUMBER_UNSPECIFIED": 0}
_decode = msgspec.json.Decoder().decode


class _Wrong(Exception):  # noqa: N818 - internal: becomes MalformedPush
    pass


def protobuf_of(body: bytes) -> bytes:
    """The ExportLogsServiceRequest that a JSON body says, as protobuf.

    Raises:
        MalformedPush: the body is no JSON, or a value is not of its field's kind.
    """
    start = body.lstrip(b" \t\r\n")[:1]
    if start not in (b"{", b"n"):
        raise MalformedPush(_not_an_object(body, start))
    try:
        read = _decode(body)
        request = LogsRequest()
        if read is not None:
            _request(_object(read, ""), request)
        made: bytes = request.SerializeToString()
    except (msgspec.DecodeError, UnicodeError) as error:
        raise MalformedPush(f"invalid JSON: {error}") from None
    except _Wrong as wrong:
        raise MalformedPush(str(wrong)) from None
    except RecursionError:
        raise MalformedPush("invalid JSON: nested too deep") from None
    return made


def _not_an_object(body: bytes, start: bytes) -> str:
    """What jsoniter says of a body that begins with something else."""
    at = body.find(start) + 1 if start else len(body)
    parsing = body[max(at - 10, 0) : at + 10].decode("utf-8", "surrogateescape")
    context = body[max(at - 50, 0) : at + 50].decode("utf-8", "surrogateescape")
    found = start.decode("utf-8", "surrogateescape") or "\0"
    return (
        f"ReadObject: expect {{ or , or }} or n, but found {found}, "
        f"error found in #{min(at, 10)} byte of ...|{parsing}|..., bigger context ...|{context}|..."
    )


def _get(found: dict[str, Any], name: str, other: str = "") -> Any:
    value = found.get(name)
    return found.get(other) if value is None and other else value


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{name or 'the body'} is not an object")
    return value


def _objects(found: dict[str, Any], name: str, other: str = "") -> Iterator[dict[str, Any]]:
    value = _get(found, name, other)
    if value is None:
        return
    if not isinstance(value, list):
        raise _Wrong(f"{name} is not an array")
    for each in value:
        yield {} if each is None else _object(each, name)


def _text(found: dict[str, Any], name: str, other: str = "") -> bytes:
    value = _get(found, name, other)
    if value is None:
        return b""
    if not isinstance(value, str):
        raise _Wrong(f"{name} is not a string")
    return value.encode()


def _number(found: dict[str, Any], name: str, other: str = "", *, first: int = 0, last: int = _U64) -> int:
    value = _get(found, name, other)
    if value is None:
        return 0
    if isinstance(value, str) and len(value) <= 20:
        digits = value.removeprefix("-")
        value = int(value) if digits.isascii() and digits.isdigit() else None
    if isinstance(value, bool) or not isinstance(value, int) or not first <= value <= last:
        raise _Wrong(f"{name} is not an integer from {first} to {last}")
    return value


def _id(found: dict[str, Any], name: str, other: str) -> bytes:
    try:
        return bytes.fromhex(_text(found, name, other).decode())
    except ValueError:
        raise _Wrong(f"{name} is not hexadecimal") from None


def _request(found: dict[str, Any], request: Any) -> None:
    for logs in _objects(found, "resourceLogs", "resource_logs"):
        made = request.resource_logs.add()
        _attributes(_object(logs.get("resource") or {}, "resource"), made.resource.attributes)
        for scoped in _objects(logs, "scopeLogs", "scope_logs"):
            own = made.scope_logs.add()
            _scope(_object(scoped.get("scope") or {}, "scope"), own.scope)
            for record in _objects(scoped, "logRecords", "log_records"):
                _record(record, own.log_records.add())


def _scope(found: dict[str, Any], scope: Any) -> None:
    scope.name = _text(found, "name")
    scope.version = _text(found, "version")
    scope.dropped_attributes_count = _dropped(found)
    _attributes(found, scope.attributes)


def _dropped(found: dict[str, Any]) -> int:
    return _number(found, "droppedAttributesCount", "dropped_attributes_count", last=0xFFFFFFFF)


def _record(found: dict[str, Any], record: Any) -> None:
    record.time_unix_nano = _number(found, "timeUnixNano", "time_unix_nano")
    record.observed_time_unix_nano = _number(found, "observedTimeUnixNano", "observed_time_unix_nano")
    severity = _get(found, "severityNumber", "severity_number")
    if isinstance(severity, str):
        record.severity_number = _SEVERITIES.get(severity, 0)
    else:
        record.severity_number = _number(
            found, "severityNumber", "severity_number", first=-(1 << 31), last=(1 << 31) - 1
        )
    record.severity_text = _text(found, "severityText", "severity_text")
    record.dropped_attributes_count = _dropped(found)
    record.flags = _number(found, "flags", last=0xFFFFFFFF)
    record.trace_id = _id(found, "traceId", "trace_id")
    record.span_id = _id(found, "spanId", "span_id")
    record.event_name = _text(found, "eventName", "event_name")
    body = found.get("body")
    if body is not None:
        _value(_object(body, "body"), record.body)
    _attributes(found, record.attributes)


def _attributes(found: dict[str, Any], pairs: Any, name: str = "attributes") -> None:
    for each in _objects(found, name):
        pair = pairs.add()
        pair.key = _text(each, "key")
        value = each.get("value")
        if value is not None:
            _value(_object(value, "value"), pair.value)


def _value(found: dict[str, Any], value: Any) -> None:
    for name, held in found.items():
        if held is None:
            continue
        if name in ("stringValue", "string_value"):
            value.string_value = _text(found, name)
        elif name in ("boolValue", "bool_value"):
            if not isinstance(held, bool):
                raise _Wrong(f"{name} is not true or false")
            value.bool_value = held
        elif name in ("intValue", "int_value"):
            value.int_value = _number(found, name, first=-(1 << 63), last=(1 << 63) - 1)
        elif name in ("doubleValue", "double_value"):
            value.double_value = _double(held, name)
        elif name in ("bytesValue", "bytes_value"):
            try:
                value.bytes_value = base64.b64decode(_text(found, name), validate=True)
            except binascii.Error:
                raise _Wrong(f"{name} is not base64") from None
        elif name in ("arrayValue", "array_value"):
            value.array_value.SetInParent()
            for each in _objects(_object(held, name), "values"):
                _value(each, value.array_value.values.add())
        elif name in ("kvlistValue", "kvlist_value"):
            value.kvlist_value.SetInParent()
            _attributes(_object(held, name), value.kvlist_value.values, "values")


def _double(held: Any, name: str) -> float:
    """A number, or the text of one: JSON has none for NaN and the infinities."""
    if not isinstance(held, bool) and isinstance(held, int | float | str):
        try:
            return float(held)
        except (ValueError, OverflowError):
            pass
    raise _Wrong(f"{name} is not a number")
