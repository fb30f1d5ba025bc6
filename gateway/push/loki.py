"""The push door: POST /loki/api/v1/push and /api/prom/push.

Reads a body within the byte budget, decodes and validates it, waits until it is on disk. Errors are raised; what they
become is gateway/errors.py's affair.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from config.limits import Limits
from gateway.auth import tenant_of
from gateway.push.decode import decode_push
from gateway.push.encodings import check_size, decoded_size
from gateway.push.errors import MalformedPush, NoStreams
from gateway.push.metadata import metadata_sizes
from gateway.push.validate import Verdict, validate
from gateway.state import ByteBudget, Gateway
from storage import BatchId, Receipt, batch_digest
from storage.batch import Batch
from storage.errors import StorageError

INLINE_BYTES = 64 << 10
"""Bodies that unpack to less are decoded on the event loop: handing one to a thread would cost more."""

DECODING_THREADS = 2
"""Bodies decoded beside the event loop at once. Decoding holds the interpreter, so more threads would only wait."""

READ_STEP = 1 << 20
"""Bytes by which the budget of a body of unknown length grows while it is read."""

_NS_PER_MS = 1_000_000
_threads = CapacityLimiter(DECODING_THREADS)


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
    tenant = tenant_of(request)
    limits = gateway.settings.limits_for(tenant)
    store = gateway.store
    batch_id = _batch_id(request)
    content_type = request.headers.get("content-type")
    encoding = request.headers.get("content-encoding", "")
    media = (content_type or "").partition(";")[0].strip().lower()
    legacy = "/loki/api/v1" not in request.url.path.lower()
    user_agent = request.headers.get("user-agent", "")
    # LOKI-DIFF(1): it sends names from its configuration as they are and drops a chunk on 400.
    repair_names = user_agent.startswith("Fluent-Bit")
    async with AsyncExitStack() as held:
        body = await _read(request, limits.max_recv_msg_size, gateway.ingest, held)
        # What cannot fit even alone is refused while it is unpacked, and must not wait for room there never is.
        unpacked = min(decoded_size(body, encoding, media), gateway.ingest.limit)
        if unpacked > len(body):
            await held.enter_async_context(gateway.ingest.hold(unpacked - len(body)))
        work = partial(_take, body, content_type, encoding, legacy, repair_names, limits, tenant, gateway, batch_id)
        try:
            if unpacked < INLINE_BYTES:
                taken = work()
            else:
                taken = await to_thread.run_sync(work, limiter=_threads)
        except NoStreams:
            gateway.metrics.push_without_streams(tenant, validated=False)
            raise
        batch, verdict, identity = taken
        _count(gateway, tenant, batch, verdict, user_agent, media, encoding, legacy)
        receipt = Receipt()
        if verdict.batch is not None:
            receipt = await _stored(partial(store.append, tenant, verdict.batch, batch_id=identity))
    if verdict.error is not None:
        raise verdict.error
    if receipt.deduplicated:  # LOKI-DIFF(14)
        return JSONResponse({"deduplicated": True})
    return Response(status_code=204)


def _take(
    body: bytes,
    content_type: str | None,
    encoding: str,
    legacy: bool,
    repair_names: bool,
    limits: Limits,
    tenant: str,
    gateway: Gateway,
    batch_id: UUID | None,
) -> tuple[Batch, Verdict, BatchId | None]:
    """Decodes and validates: all that takes time with a body. Runs on the event loop or in a thread."""
    batch = decode_push(
        body, content_type, encoding, legacy, limits, repair_names=repair_names, room=gateway.ingest.limit
    )  # LOKI-DIFF(15)
    identity = None if batch_id is None else BatchId(batch_id.bytes, batch_digest(batch))
    return batch, validate(batch, tenant, limits, time.time_ns(), gateway.stream_states), identity


def _batch_id(request: Request) -> UUID | None:
    text = request.headers.get("x-weir-batch-id")
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise MalformedPush("X-Weir-Batch-Id is not a UUID") from None


async def _read(request: Request, cap: int, budget: ByteBudget, held: AsyncExitStack) -> bytes:
    """The body, at most `cap` bytes. What it takes of the budget is given back when `held` is closed."""
    announced = request.headers.get("content-length", "")
    room = int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 19 else 0
    check_size(room, cap)
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        if not pieces and room:
            # Not before: a client that announces much and sends nothing must not keep the others out.
            await held.enter_async_context(budget.hold(room))
        size += len(piece)
        check_size(size, cap)
        if size > room:
            step = max(READ_STEP, size - room)
            await held.enter_async_context(budget.hold(step))
            room += step
        pieces.append(piece)
    return b"".join(pieces)


def _count(
    gateway: Gateway,
    tenant: str,
    batch: Batch,
    verdict: Verdict,
    user_agent: str,
    media: str,
    encoding: str,
    legacy: bool,
) -> None:
    metadata = int(metadata_sizes(batch)[0].sum()) if batch.metadata or batch.rest is not None else 0
    metrics = gateway.metrics
    lag = (time.time_ns() - int(batch.ts.max())) // _NS_PER_MS if len(batch) else -1
    metrics.push_received(tenant, batch.lines.lengths, metadata, lag, user_agent, media, encoding, legacy)
    if verdict.batch is None:
        metrics.push_without_streams(tenant, validated=True)
    if verdict.sanitised:
        metrics.sanitised(tenant, verdict.sanitised)
    for discard in verdict.discarded:
        metrics.discarded(discard.reason, tenant, discard.lines, discard.bytes)
    for mutation in verdict.mutated:
        metrics.mutated(mutation.reason, tenant, mutation.lines, mutation.bytes)


def _stored(append: Any) -> Awaitable[Receipt]:
    """Hands a batch over; the result is there when it is on disk or refused."""
    loop = asyncio.get_running_loop()
    home = threading.get_ident()
    future: asyncio.Future[Receipt] = loop.create_future()

    def settle(outcome: Receipt | StorageError) -> None:
        if future.done():  # the client left
            return
        if isinstance(outcome, StorageError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def done(outcome: Receipt | StorageError) -> None:
        # The store of a server calls on the event loop, once a commit group; others may call from their own thread.
        if threading.get_ident() == home:
            settle(outcome)
        else:
            loop.call_soon_threadsafe(settle, outcome)

    append(done=done)
    return future
