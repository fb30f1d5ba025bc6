"""The protobuf messages of an OTLP logs request (opentelemetry-proto 1.x), wire compatible.

Texts are `bytes` where OTLP has `string`: protobuf would refuse a line that is no UTF-8. Fields nothing is made of
(schema URLs, entity references) are left out and skipped as unknown. Made from a descriptor and not by protoc, whose
code is tied to one major version of protobuf at run time.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "weir.otlp"
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
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
_SCALARS = {
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "fixed32": FieldDescriptorProto.TYPE_FIXED32,
    "fixed64": FieldDescriptorProto.TYPE_FIXED64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
}


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="weir/otlp.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _MESSAGES.items():
        descriptor = file.message_type.add(name=message)
        if message in _ONE_OF:
            descriptor.oneof_decl.add(name=_ONE_OF[message])
        for name, number, kind in fields:
            field = descriptor.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
            if kind.endswith("*"):
                field.label = FieldDescriptorProto.LABEL_REPEATED
            if message in _ONE_OF:
                field.oneof_index = 0
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind.rstrip('*')}"
    return file


def _message(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


_POOL = DescriptorPool()
_POOL.Add(_file())

LogsRequest = _message("LogsRequest")
"""An ExportLogsServiceRequest."""
Resource = _message("Resource")
Scope = _message("Scope")
"""An InstrumentationScope."""
AnyValue = _message("AnyValue")
