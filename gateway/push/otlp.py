"""The OTLP door: POST /otlp/v1/logs, protobuf or JSON.

204 with an empty body once all of it is on disk, as Loki; errors are google.rpc.Status messages, and what would be 500
is 503, because exporters try 503 again and drop on 500.
"""

from __future__ import annotations

import time

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.errors import Told, Wording
from gateway.push.asked import Asked, read_head
from gateway.push.bodies import Room, read_body, room_in
from gateway.push.counting import count_push
from gateway.push.errors import MalformedPush, NoStreams
from gateway.push.otlp_encodings import unwrapped, unwrapped_size
from gateway.push.otlp_json import protobuf_of
from gateway.push.otlp_proto import decode_otlp
from gateway.push.otlp_rules import compiled
from gateway.push.threads import INLINE_BYTES, decoding
from gateway.push.validate import Verdict, validate
from gateway.rejected.noting import note_lines
from gateway.state import Gateway
from storage.batch import Batch

JSON, PROTOBUF = "application/json", "application/x-protobuf"
_NO_CONTENT = Response(status_code=204)
"""Said to every request; a response that is only sent is not changed by it."""


async def otlp_logs(request: Request) -> Response:
    """Takes one ExportLogsServiceRequest. 204 once it is on disk.

    Raises:
        NoTenant, BadTenant: X-Scope-OrgID; told in plain text, as Loki's middleware does.
        ClientDisconnect: the client left before the body was whole.
        Told: it is refused, or parts of it are and the others are stored; or it was not stored.
    """
    gateway: Gateway = request.app.state.gateway
    asked = read_head(request, gateway, "otlp", str)  # compared as sent, parameters and all
    try:
        with room_in(gateway.ingest) as room:
            return await _take_in(request, gateway, asked, room)
    except ClientDisconnect:
        raise
    except Exception as error:
        raise Told(error, Wording.STATUS) from error


async def _take_in(request: Request, gateway: Gateway, asked: Asked, room: Room) -> Response:
    store, sender = gateway.store, asked.sender
    body = await read_body(request, asked.length, asked.limits.max_recv_msg_size, room)
    unpacked = unwrapped_size(body, sender.encoding)
    await room.unpack(len(body), unpacked)
    try:
        if unpacked < INLINE_BYTES:
            batch, verdict = _taken(body, asked, gateway)
        else:
            batch, verdict = await to_thread.run_sync(_taken, body, asked, gateway, limiter=decoding)
    except NoStreams:
        gateway.metrics.push_without_streams(sender.tenant, validated=False)
        raise
    count_push(gateway.metrics, sender, batch, verdict)
    note_lines(request, gateway.rejected, sender.tenant, sender.format, verdict)
    if verdict.batch is not None:
        await gateway.commits.put(store, sender.tenant, verdict.batch, None)
    if verdict.error is not None:
        raise verdict.error
    return _NO_CONTENT


def _taken(body: bytes, asked: Asked, gateway: Gateway) -> tuple[Batch, Verdict]:
    """Decodes and validates: all that takes time with a body. Runs on the event loop or in a thread."""
    media, limits, now = asked.sender.media, asked.limits, time.time_ns()
    cap = min(limits.max_decompressed_size, gateway.ingest.limit)
    raw = unwrapped(body, asked.sender.encoding, cap)
    if media not in (JSON, PROTOBUF):  # to the letter, parameters included: as Loki
        raise MalformedPush(f"content type: {media} is not supported")
    batch = decode_otlp(protobuf_of(raw) if media == JSON else raw, compiled(limits.otlp_config), now)
    return batch, validate(batch, asked.sender.tenant, limits, now, gateway.stream_states)
