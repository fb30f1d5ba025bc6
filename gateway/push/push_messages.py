"""The protobuf messages of a Loki push (logproto.PushRequest), wire compatible.

    message PushRequest { repeated Stream streams = 1; }
    message Stream      { bytes labels = 1; repeated Entry entries = 2; }
    message Entry       { Timestamp timestamp = 1; bytes line = 2; repeated Pair structured_metadata = 3; }
    message Timestamp   { int64 seconds = 1; int32 nanos = 2; }
    message Pair        { bytes name = 1; bytes value = 2; }

Texts are `bytes` where Loki has `string`: protobuf would refuse a line that is no UTF-8. The classes are made from a
descriptor here and not by protoc, because code that protoc writes is tied to one major version of protobuf at run time.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "weir.push"
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "PushRequest": (("streams", 1, "Stream*"),),
    "Stream": (("labels", 1, "bytes"), ("entries", 2, "Entry*")),
    "Entry": (("timestamp", 1, "Timestamp"), ("line", 2, "bytes"), ("structured_metadata", 3, "Pair*")),
    "Timestamp": (("seconds", 1, "int64"), ("nanos", 2, "int32")),
    "Pair": (("name", 1, "bytes"), ("value", 2, "bytes")),
}
_SCALARS = {
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "int32": FieldDescriptorProto.TYPE_INT32,
}


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="weir/push.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _MESSAGES.items():
        descriptor = file.message_type.add(name=message)
        for name, number, kind in fields:
            field = descriptor.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
            if kind.endswith("*"):
                field.label = FieldDescriptorProto.LABEL_REPEATED
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

PushRequest = _message("PushRequest")
