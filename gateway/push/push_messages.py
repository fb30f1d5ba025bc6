"""The protobuf messages of a Loki push (logproto.PushRequest), wire compatible.

    message PushRequest { repeated Stream streams = 1; }
    message Stream      { bytes labels = 1; repeated Entry entries = 2; }
    message Entry       { Timestamp timestamp = 1; bytes line = 2; repeated Pair structured_metadata = 3; }
    message Timestamp   { int64 seconds = 1; int32 nanos = 2; }
    message Pair        { bytes name = 1; bytes value = 2; }

Texts are `bytes` where Loki has `string`: protobuf would refuse a line that is no UTF-8.
"""

from __future__ import annotations

from gateway.push.messages import Fields, message_classes

_MESSAGES: dict[str, Fields] = {
    "PushRequest": (("streams", 1, "Stream*"),),
    "Stream": (("labels", 1, "bytes"), ("entries", 2, "Entry*")),
    "Entry": (("timestamp", 1, "Timestamp"), ("line", 2, "bytes"), ("structured_metadata", 3, "Pair*")),
    "Timestamp": (("seconds", 1, "int64"), ("nanos", 2, "int32")),
    "Pair": (("name", 1, "bytes"), ("value", 2, "bytes")),
}
_message = message_classes("weir.push", _MESSAGES)

PushRequest = _message("PushRequest")
