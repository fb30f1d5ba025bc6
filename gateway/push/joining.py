"""Small pushes of one turn of the event loop, taken together: from bodies to the store and back to each of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from config.limits import Limits
from gateway.logs import event
from gateway.push.counting import Sender, count_good_pushes
from gateway.push.together import can_be_together, take_together
from gateway.state import Gateway, LogStore
from storage import Receipt

_log = logging.getLogger("weir.http")

PIECE_BYTES = 1 << 20
"""Bytes that pushes taken together unpack to, about: they are in memory once more while they are decoded."""

MEDIA = "application/x-protobuf"
"""The only media type of pushes that are taken together."""


@dataclass(frozen=True, slots=True, eq=False)
class Small:
    """A push that waits for the others of its turn.

    Attributes:
        body: as sent.
        unpacked: bytes it says it unpacks to.
        stored: gets whether it is on disk; False: it is to go the ordinary way, nothing has been done with it.
    """

    body: bytes
    unpacked: int
    stored: asyncio.Future[bool]


async def stored_together(
    gateway: Gateway, store: LogStore, sender: Sender, limits: Limits, body: bytes, unpacked: int
) -> bool:
    """Stores a push with others of this turn, if nothing is wrong with it and no limit of its tenant forbids it.

    Returns:
        Whether it is on disk. If not, it is to go the ordinary way.

    Raises:
        StorageError: it was not stored.
    """
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    work = partial(_take, gateway, store, sender, limits)
    gateway.turns.put((sender, id(limits)), work, Small(body, unpacked, future))
    return await future


def _take(gateway: Gateway, store: LogStore, sender: Sender, limits: Limits, turn: list[Small]) -> None:
    now = time.time_ns()
    here = [one for one in turn if not one.stored.done()]  # the others' clients left
    if not can_be_together(sender.tenant, limits, now):
        _settle(here, outcome=False)
        return
    for piece in _pieces(here):
        try:
            found = take_together([one.body for one in piece], limits, now, gateway.ingest.limit)
        except Exception as error:  # noqa: BLE001 - each of them meets it again, and it is told where it belongs
            event(_log, logging.ERROR, "pushes could not be taken together", exc_info=error)
            found = None
        if found is None:
            _settle(piece, outcome=False)
            continue
        count_good_pushes(gateway.metrics, sender, found.lengths, found.newest, now)
        members = [piece[place] for place in found.members]
        if len(members) < len(piece):
            _settle(list(set(piece).difference(members)), outcome=False)
        gateway.commits.send(store, sender.tenant, found.batch, partial(_told, members))


def _pieces(turn: list[Small]) -> Iterator[list[Small]]:
    """The pushes in order, in pieces of at least one and about PIECE_BYTES."""
    piece: list[Small] = []
    size = 0
    for one in turn:
        if piece and size + one.unpacked > PIECE_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(one)
        size += one.unpacked
    if piece:
        yield piece


def _told(members: list[Small], outcome: Receipt | Exception) -> None:
    _settle(members, outcome=outcome if isinstance(outcome, Exception) else True)


def _settle(some: list[Small], *, outcome: Exception | bool) -> None:
    for one in some:
        if one.stored.done():  # the client left
            continue
        if isinstance(outcome, Exception):
            one.stored.set_exception(outcome)
        else:
            one.stored.set_result(outcome)
