"""One push body, as it came over HTTP, into a Batch. Nothing is validated beyond what it takes to read it."""

from __future__ import annotations

import sys

from config.limits import Limits
from gateway.push.encodings import check_size, media_type, unsnap_for_now, unwrap
from gateway.push.errors import MalformedPush, NoStreams
from gateway.push.label_text import labels_from_pairs, labels_from_repaired_pairs
from gateway.push.loki_json import decode_json
from gateway.push.loki_proto import decode_protobuf
from storage.batch import Batch

JSON = "application/json"


def decode_push(
    body: bytes,
    content_type: str | None,
    content_encoding: str,
    legacy: bool,
    limits: Limits,
    *,
    repair_names: bool = False,
    room: int = sys.maxsize,
) -> Batch:
    """The entries of a push body. Any media type but JSON is snappy-compressed protobuf, as in Loki.

    Args:
        body: as sent.
        content_type: the header, None if missing.
        content_encoding: the header, "" if missing.
        legacy: whether it came to /api/prom/push, whose JSON has another shape.
        repair_names: in v1 JSON, make label names of names that are none instead of refusing the push.
        limits: max_recv_msg_size and max_decompressed_size, in bytes.
        room: bytes that it may unpack to at most, whatever the limits say.

    Returns:
        A batch whose `streams` are those of the body in its order: one given twice is there twice, one without
        entries is there too. Label sets are sorted by name and may have a name twice; no value is empty.

    Raises:
        MalformedPush: the body cannot be read.
        PushTooLarge: it is over a size limit.
        NoStreams: it has none.
    """
    check_size(len(body), limits.max_recv_msg_size)
    cap = min(limits.max_decompressed_size, room)
    payload = unwrap(body, content_encoding, cap)
    if media_type(content_type) == JSON:
        batch = decode_json(payload, labels_from_repaired_pairs if repair_names else labels_from_pairs, legacy=legacy)
    else:
        if payload.fault is not None:
            raise MalformedPush(payload.fault)
        check_size(len(payload.data), limits.max_recv_msg_size)
        batch = decode_protobuf(unsnap_for_now(payload.data, cap), payload.data)
    if not batch.streams:
        raise NoStreams
    return batch
