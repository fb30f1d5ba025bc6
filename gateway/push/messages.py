"""Protobuf message classes made from a table of their fields, and not by protoc.

Code that protoc writes is tied to one major version of protobuf at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Fields = Sequence[tuple[str, int, str]]
"""(name, number, type) of a message's fields: a scalar's name or a message's, with `*` behind it if it is repeated."""

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


def message_classes(
    package: str, messages: Mapping[str, Fields], one_of: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """A message's name -> its class.

    Args:
        package: of the messages, which are proto3.
        messages: name -> fields.
        one_of: messages of whose fields at most one is set -> the name of that choice.
    """
    choices = one_of or {}
    file = FileDescriptorProto(name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3")
    for message, fields in messages.items():
        descriptor = file.message_type.add(name=message)
        if message in choices:
            descriptor.oneof_decl.add(name=choices[message])
        for name, number, kind in fields:
            field = descriptor.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
            if kind.endswith("*"):
                field.label = FieldDescriptorProto.LABEL_REPEATED
            if message in choices:
                field.oneof_index = 0
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{package}.{kind.rstrip('*')}"
    pool = DescriptorPool()
    pool.Add(file)
    return lambda name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
