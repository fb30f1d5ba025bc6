"""The simple door: POST /log takes `{level, message, service, timestamp?}`, one or many, without anything of Loki's.

202 once all of it is on disk; errors are JSON and name the field.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from config.units import format_instant
from gateway.errors import Told, Wording
from gateway.push.asked import Asked, read_head
from gateway.push.bodies import Room, read_body, room_in
from gateway.push.counting import count_push
from gateway.push.log_entries import MAX_ENTRY, LogEntries, read_entries
from gateway.push.otlp_encodings import unwrapped, unwrapped_size
from gateway.push.threads import INLINE_BYTES, decoding
from gateway.push.validate import Verdict, validate
from gateway.rejected.noting import note_entries, note_lines
from gateway.state import Gateway

MAX_REASONS = 100
"""Refused entries of which the answer says why; it has the indices of all."""

_encode = msgspec.json.encode


async def log(request: Request) -> Response:
    """Takes one entry or many. 202 once they are on disk.

    Raises:
        ClientDisconnect: the client left before the body was whole.
        Told: it is refused, or was not stored.
    """
    gateway: Gateway = request.app.state.gateway
    try:
        with room_in(gateway.ingest) as room:
            return await _take_in(request, gateway, read_head(request, gateway, "log", _media), room)
    except ClientDisconnect:
        raise
    except Exception as error:
        raise Told(error, Wording.JSON) from error


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


async def _take_in(request: Request, gateway: Gateway, asked: Asked, room: Room) -> Response:
    store, sender = gateway.store, asked.sender
    body = await read_body(request, asked.length, max(gateway.settings.log.max_bulk_bytes, MAX_ENTRY), room)
    unpacked = unwrapped_size(body, sender.encoding)
    await room.unpack(len(body), unpacked)
    if unpacked < INLINE_BYTES:
        entries, verdict = _taken(body, asked, gateway)
    else:
        entries, verdict = await to_thread.run_sync(_taken, body, asked, gateway, limiter=decoding)
    note_entries(request, gateway.rejected, sender.tenant, entries.refused)
    if verdict is not None and entries.batch is not None:
        count_push(gateway.metrics, sender, entries.batch, verdict)
        note_lines(request, gateway.rejected, sender.tenant, sender.format, verdict)
        if verdict.batch is not None:
            await gateway.commits.put(store, sender.tenant, verdict.batch, None)
        if verdict.error is not None:
            raise verdict.error
    return _answer(entries)


def _taken(body: bytes, asked: Asked, gateway: Gateway) -> tuple[LogEntries, Verdict | None]:
    """Decodes and validates. Runs on the event loop or in a thread."""
    now, most, sender = time.time_ns(), gateway.settings.log.max_bulk_bytes, asked.sender
    plain = unwrapped(body, sender.encoding, max(most, MAX_ENTRY))
    entries = read_entries(plain, sender.media, asked.limits, most, now)
    if entries.batch is None:
        return entries, None
    return entries, validate(entries.batch, sender.tenant, asked.limits, now, gateway.stream_states)


def _answer(entries: LogEntries) -> Response:
    taken = entries.batch is not None
    said: dict[str, Any] = {"status": "accepted" if taken else "refused", "timestamp": format_instant(entries.newest)}
    if entries.bulk:
        said["accepted"] = 0 if entries.batch is None else len(entries.batch)
        said["refused"] = [each.index for each in entries.refused]
        if entries.refused:
            said["errors"] = [
                {"index": each.index, "field": each.reason.field, "error": str(each.reason)}
                for each in entries.refused[:MAX_REASONS]
            ]
    return Response(_encode(said), 202 if taken else 400, media_type="application/json")
