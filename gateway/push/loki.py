"""The push door: POST /loki/api/v1/push and /api/prom/push.

Reads a body within the byte budget, decodes and validates it, waits until it is on disk. Errors are raised; what they
become is gateway/errors.py's affair.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote
from uuid import UUID

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from config.limits import Limits
from gateway.auth import TENANT_HEADER, tenant_in
from gateway.push.bodies import Room, length_said, read_body
from gateway.push.counting import Sender, count_push
from gateway.push.decode import decode_push
from gateway.push.encodings import decoded_size
from gateway.push.errors import MalformedPush, NoStreams, RateLimited
from gateway.push.joining import MEDIA, stored_together
from gateway.push.threads import INLINE_BYTES, decoding
from gateway.push.validate import Verdict, validate
from gateway.rejected.noting import note_lines
from gateway.relay.way import Stop, read_path
from gateway.state import Gateway
from storage import BatchId, Receipt, batch_digest
from storage.batch import Batch
from storage.record import Sender as PassedOn

_PLAIN = frozenset(("", "snappy"))
"""Content-Encodings that leave a protobuf body as it is."""
_TENANT = TENANT_HEADER.encode()
_NOTHING = Receipt()
_NO_CONTENT = Response(status_code=204)
"""Said to every push; a response that is only sent is not changed by it."""


async def push(request: Request) -> Response:
    """Takes one push. 204 once it is on disk; 200 if its X-Weir-Batch-Id was stored before.

    Raises:
        PushError: it is refused, or parts of it are and the others are stored.
        StorageError: it was not stored.
        IngestBusy: too many bytes are being ingested.
        NotReady: the store is not open.
        NoTenant, BadTenant: X-Scope-OrgID.
        Loop: its X-Weir-Path says that it has been here.
        ClientDisconnect: the client left before the body was whole.
    """
    gateway: Gateway = request.app.state.gateway
    asked = _asked(request, gateway)
    room = Room(gateway.ingest)
    try:
        return await _push(request, gateway, asked, room)
    finally:
        room.give_back()


async def _push(request: Request, gateway: Gateway, asked: _Asked, room: Room) -> Response:
    store = gateway.store
    body = await read_body(request, asked.length, asked.limits.max_recv_msg_size, room)
    sender = asked.sender
    unpacked = decoded_size(body, sender.encoding, sender.media)
    if unpacked > len(body):
        await room.unpack(len(body), unpacked)
    if (
        asked.head.content_type == MEDIA
        and asked.batch_id is None
        and unpacked < INLINE_BYTES
        and sender.encoding in _PLAIN
        and await stored_together(gateway, store, sender, asked.limits, body, unpacked)
    ):
        return _NO_CONTENT
    try:
        if unpacked < INLINE_BYTES:
            taken = _take(body, asked, gateway)
        else:
            taken = await to_thread.run_sync(_take, body, asked, gateway, limiter=decoding)
    except NoStreams:
        gateway.metrics.push_without_streams(sender.tenant, validated=False)
        raise
    batch, verdict, identity = taken
    count_push(gateway.metrics, sender, batch, verdict)
    note_lines(request, gateway.rejected, sender.tenant, sender.format, verdict)
    receipt = _NOTHING
    if asked.head.path:
        # Before it is stored: from then on it may be passed on.
        gateway.relays.way.heard(asked.head.path)
    if verdict.batch is not None:
        if isinstance(verdict.error, RateLimited):
            # The others of the batch are to come again, and would be taken for stored.
            identity = None
        receipt = await gateway.commits.put(store, sender.tenant, verdict.batch, identity)
    if verdict.error is not None:
        raise verdict.error
    if receipt.deduplicated:
        return JSONResponse({"deduplicated": True})
    return _NO_CONTENT


@dataclass(frozen=True, slots=True)
class _Head:
    """What the headers of a push say that are the same from push to push.

    Attributes:
        org: X-Scope-OrgID, "" if missing.
        content_type: the header.
        media: its media type, in lower case.
        encoding: Content-Encoding.
        user_agent: the header.
        repair_names: make label names of names that are none.
        instance: X-Weir-Instance, the server that passes it on.
        path: X-Weir-Path.
    """

    org: str
    content_type: str | None
    media: str
    encoding: str
    user_agent: str
    repair_names: bool
    instance: str
    path: tuple[Stop, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the head of a push says.

    Attributes:
        sender: who sent it, and in what.
        limits: the tenant's.
        batch_id: X-Weir-Batch-Id.
        length: Content-Length in bytes, 0 where it is not said.
        head: the rest.
    """

    sender: Sender
    limits: Limits
    batch_id: UUID | None
    length: int
    head: _Head


def _asked(request: Request, gateway: Gateway) -> _Asked:
    # Of a header given twice the first counts, as for Go.
    length = batch_id = None
    others = []
    for header in request.scope["headers"]:
        if header[0] == b"content-length":
            length = header[1] if length is None else length
        elif header[0] == b"x-weir-batch-id":
            batch_id = header[1] if batch_id is None else batch_id
        else:
            others.append(header)
    head = (_known_head if len(others) <= _KNOWN_HEADERS else _read_head)(tuple(others))
    settings = gateway.settings
    if head.path:
        gateway.relays.way.check(head.path)
    tenant = tenant_in(request.scope, head.org, settings.tenancy)
    legacy = "/loki/api/v1" not in request.scope["path"].lower()
    return _Asked(
        sender=Sender(tenant, head.user_agent, head.media, head.encoding, legacy),
        limits=settings.limits_for(tenant),
        batch_id=None if batch_id is None else _batch_id(batch_id.decode("latin-1")),
        length=0 if length is None else length_said(length.decode("latin-1")),
        head=head,
    )


def _read_head(given: tuple[tuple[bytes, bytes], ...]) -> _Head:
    headers = {name: value.decode("latin-1") for name, value in reversed(given)}
    content_type = headers.get(b"content-type")
    user_agent = headers.get(b"user-agent", "")
    return _Head(
        org=headers.get(_TENANT, ""),
        content_type=content_type,
        media=(content_type or "").partition(";")[0].strip().lower(),
        encoding=headers.get(b"content-encoding", ""),
        user_agent=user_agent,
        # LOKI-DIFF(1): it sends names from its configuration as they are and drops a chunk on 400.
        repair_names=user_agent.startswith("Fluent-Bit"),
        instance=unquote(headers.get(b"x-weir-instance", ""))[:_INSTANCE_NAME],
        path=read_path(headers.get(b"x-weir-path", "")),
    )


_KNOWN_HEADERS = 12
"""Headers of a head that is remembered; agents send five or six."""
_INSTANCE_NAME = 255
"""Characters of an instance's name."""
_known_head = lru_cache(maxsize=64)(_read_head)


def _take(body: bytes, asked: _Asked, gateway: Gateway) -> tuple[Batch, Verdict, BatchId | None]:
    """Decodes and validates: all that takes time with a body. Runs on the event loop or in a thread."""
    batch = decode_push(
        body,
        asked.head.content_type,
        asked.head.encoding,
        asked.sender.legacy,
        asked.limits,
        repair_names=asked.head.repair_names,
        room=gateway.ingest.limit,
    )
    identity = None if asked.batch_id is None else BatchId(asked.batch_id.bytes, batch_digest(batch), _passed_on(asked))
    return batch, validate(batch, asked.sender.tenant, asked.limits, time.time_ns(), gateway.stream_states), identity


def _passed_on(asked: _Asked) -> PassedOn | None:
    """The server that passes the batch on; None: it comes from where the lines were written."""
    if not asked.head.instance:
        return None
    return PassedOn(asked.head.instance, tuple(stop.text for stop in asked.head.path))


def _batch_id(text: str | None) -> UUID | None:
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise MalformedPush("X-Weir-Batch-Id is not a UUID") from None
