"""The protobuf messages of an OTLP logs request (opentelemetry-proto 1.x), wire compatible.

Texts are `bytes` where OTLP has `string`: protobuf would refuse a line that is no UTF-8. Fields nothing is made of
(schema URLs, entity references) are left out and skipped as unknown.
"""

from __future__ import annotations

from gateway.push.messages import Fields, message_classes

_MESSAGES: dict[str, Fields] = {
    "LogsRequest": (("resource_logs", 1, "ResourceLogs*"),),
    "ResourceLogs": (("resource", 1, "Resource"), ("scope_logs", 2, "ScopeLogs*")),
    "Resource": (("attributes", 1, "KeyValue*"),),
    "ScopeLogs": (("scope", 1, "Scope"), ("log_records", 2, "LogRecord*")),
    "Scope": (
        ("name", 1, "bytes"),
        ("version", 2, "bytes"),
        ("attributes", 3, "KeyValue*"),
        ("dropped_attributes_count", 4, "uint32"),
    ),
    "LogRecord": (
        ("time_unix_nano", 1, "fixed64"),
        ("severity_number", 2, "int32"),
        ("severity_text", 3, "bytes"),
        ("body", 5, "AnyValue"),
        ("attributes", 6, "KeyValue*"),
        ("dropped_attributes_count", 7, "uint32"),
        ("flags", 8, "fixed32"),
        ("trace_id", 9, "bytes"),
        ("span_id", 10, "bytes"),
        ("observed_time_unix_nano", 11, "fixed64"),
        ("event_name", 12, "bytes"),
    ),
    "KeyValue": (("key", 1, "bytes"), ("value", 2, "AnyValue")),
    "AnyValue": (
        ("string_value", 1, "bytes"),
        ("bool_value", 2, "bool"),
        ("int_value", 3, "int64"),
        ("double_value", 4, "double"),
        ("array_value", 5, "Values"),
        ("kvlist_value", 6, "KeyValues"),
        ("bytes_value", 7, "bytes"),
    ),
    "Values": (("values", 1, "AnyValue*"),),
    "KeyValues": (("values", 1, "KeyValue*"),),
}
_ONE_OF = {"AnyValue": "value"}
"""Messages of whose fields at most one is set."""
_message = message_classes("weir.otlp", _MESSAGES, _ONE_OF)

LogsRequest = _message("LogsRequest")
"""An ExportLogsServiceRequest."""
Resource = _message("Resource")
Scope = _message("Scope")
"""An InstrumentationScope."""
AnyValue = _message("AnyValue")
