"""The push door: POST /loki/api/v1/push and /api/prom/push.

Reads a body within the byte budget, decodes and validates it, waits until it is on disk. Errors are raised; what they
become is gateway/errors.py's affair.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from config.limits import Limits
from gateway.auth import TENANT_HEADER, tenant_named
from gateway.push.decode import decode_push
from gateway.push.encodings import check_size, decoded_size
from gateway.push.errors import MalformedPush, NoStreams
from gateway.push.metadata import metadata_sizes
from gateway.push.validate import Verdict, validate
from gateway.state import ByteBudget, Gateway
from storage import BatchId, Receipt, batch_digest
from storage.batch import Batch

INLINE_BYTES = 64 << 10
"""Bodies that unpack to less are decoded on the event loop: handing one to a thread would cost more."""

DECODING_THREADS = 2
"""Bodies decoded beside the event loop at once. Decoding holds the interpreter, so more threads would only wait."""

READ_STEP = 1 << 20
"""Bytes by which the budget of a body of unknown length grows while it is read."""

_NS_PER_MS = 1_000_000
_threads = CapacityLimiter(DECODING_THREADS)
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
        ClientDisconnect: the client left before the body was whole.
    """
    gateway: Gateway = request.app.state.gateway
    asked = _asked(request, gateway)
    room = _Room(gateway.ingest)
    try:
        return await _push(request, gateway, asked, room)
    finally:
        room.give_back()


async def _push(request: Request, gateway: Gateway, asked: _Asked, room: _Room) -> Response:
    store = gateway.store
    body = await _read(request, asked, room)
    # What cannot fit even alone is refused while it is unpacked, and must not wait for room there never is.
    unpacked = min(decoded_size(body, asked.encoding, asked.media), gateway.ingest.limit)
    if unpacked > len(body) and not room.take(unpacked - len(body)):
        await room.wait_for(unpacked - len(body))
    try:
        if unpacked < INLINE_BYTES:
            taken = _take(body, asked, gateway)
        else:
            taken = await to_thread.run_sync(_take, body, asked, gateway, limiter=_threads)
    except NoStreams:
        gateway.metrics.push_without_streams(asked.tenant, validated=False)
        raise
    batch, verdict, identity = taken
    _count(gateway, asked, batch, verdict)
    receipt = _NOTHING
    if verdict.batch is not None:
        receipt = await gateway.commits.put(store, asked.tenant, verdict.batch, identity)
    if verdict.error is not None:
        raise verdict.error
    if receipt.deduplicated:  # LOKI-DIFF(14)
        return JSONResponse({"deduplicated": True})
    return _NO_CONTENT


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the head of a push says.

    Attributes:
        tenant: whose.
        limits: the tenant's.
        batch_id: X-Weir-Batch-Id.
        length: Content-Length in bytes, 0 where it is not said.
        content_type: the header.
        media: its media type, in lower case.
        encoding: Content-Encoding.
        user_agent: the header.
        legacy: it came to /api/prom/push.
        repair_names: make label names of names that are none.
    """

    tenant: str
    limits: Limits
    batch_id: UUID | None
    length: int
    content_type: str | None
    media: str
    encoding: str
    user_agent: str
    legacy: bool
    repair_names: bool


def _asked(request: Request, gateway: Gateway) -> _Asked:
    # Of a header given twice the first counts, as for Go.
    headers = {name: value.decode("latin-1") for name, value in reversed(request.scope["headers"])}
    tenant = tenant_named(headers.get(_TENANT, ""), gateway.settings.tenancy)
    content_type = headers.get(b"content-type")
    user_agent = headers.get(b"user-agent", "")
    length = headers.get(b"content-length", "")
    return _Asked(
        tenant=tenant,
        limits=gateway.settings.limits_for(tenant),
        batch_id=_batch_id(headers.get(b"x-weir-batch-id")),
        length=int(length) if length.isascii() and length.isdigit() and len(length) < 19 else 0,
        content_type=content_type,
        media=(content_type or "").partition(";")[0].strip().lower(),
        encoding=headers.get(b"content-encoding", ""),
        user_agent=user_agent,
        legacy="/loki/api/v1" not in request.scope["path"].lower(),
        # LOKI-DIFF(1): it sends names from its configuration as they are and drops a chunk on 400.
        repair_names=user_agent.startswith("Fluent-Bit"),
    )


class _Room:
    """What one push holds of the byte budget."""

    __slots__ = ("_budget", "_held")

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._held = 0

    def take(self, size: int) -> bool:
        """Takes room if it is there now."""
        if not self._budget.take(size):
            return False
        self._held += size
        return True

    async def wait_for(self, size: int) -> None:
        """Takes room when it is there. Raises IngestBusy."""
        await self._budget.wait_for(size)
        self._held += size

    def give_back(self) -> None:
        """Gives all of it back."""
        if self._held:
            self._budget.give_back(self._held)


def _take(body: bytes, asked: _Asked, gateway: Gateway) -> tuple[Batch, Verdict, BatchId | None]:
    """Decodes and validates: all that takes time with a body. Runs on the event loop or in a thread."""
    batch = decode_push(
        body,
        asked.content_type,
        asked.encoding,
        asked.legacy,
        asked.limits,
        repair_names=asked.repair_names,
        room=gateway.ingest.limit,
    )  # LOKI-DIFF(15)
    identity = None if asked.batch_id is None else BatchId(asked.batch_id.bytes, batch_digest(batch))
    return batch, validate(batch, asked.tenant, asked.limits, time.time_ns(), gateway.stream_states), identity


def _batch_id(text: str | None) -> UUID | None:
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise MalformedPush("X-Weir-Batch-Id is not a UUID") from None


async def _read(request: Request, asked: _Asked, room: _Room) -> bytes:
    """The body, at most the tenant's max_recv_msg_size."""
    cap, held = asked.limits.max_recv_msg_size, asked.length
    check_size(held, cap)
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece, more = message.get("body", b""), message.get("more_body", False)
        # Not before: a client that announces much and sends nothing must not keep the others out.
        if not pieces and held and not room.take(held):
            await room.wait_for(held)
        size += len(piece)
        check_size(size, cap)
        if size > held:
            step = max(READ_STEP, size - held)
            if not room.take(step):
                await room.wait_for(step)
            held += step
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _count(gateway: Gateway, asked: _Asked, batch: Batch, verdict: Verdict) -> None:
    metadata = int(metadata_sizes(batch)[0].sum()) if batch.metadata or batch.rest is not None else 0
    metrics, tenant = gateway.metrics, asked.tenant
    newest = -1 if not len(batch) else int(batch.ts[0] if len(batch) == 1 else batch.ts.max())
    lag = (time.time_ns() - newest) // _NS_PER_MS if len(batch) else -1
    metrics.push_received(
        tenant, batch.lines.lengths, metadata, lag, asked.user_agent, asked.media, asked.encoding, asked.legacy
    )
    if verdict.batch is None:
        metrics.push_without_streams(tenant, validated=True)
    if verdict.sanitised:
        metrics.sanitised(tenant, verdict.sanitised)
    for discard in verdict.discarded:
        metrics.discarded(discard.reason, tenant, discard.lines, discard.bytes)
    for mutation in verdict.mutated:
        metrics.mutated(mutation.reason, tenant, mutation.lines, mutation.bytes)
