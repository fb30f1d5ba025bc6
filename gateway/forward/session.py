"""One connection of Fluent Forward, from the handshake to the last acknowledgement.

Messages are taken in one after the other, in the order in which they came; a second task acknowledges them in that
order as they reach the disk. So a sender that does not wait is not slowed down by a sync, and one whose messages cannot
be stored is read no further.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from config.forward import Forward
from gateway.auth import Grant
from gateway.forward.buffers import Buffers
from gateway.forward.figures import ForwardFigures
from gateway.forward.handshake import Doorkeeper, Refused
from gateway.forward.incoming import Incoming
from gateway.forward.intake import Intake, Taken
from gateway.forward.messages import NIL, ack
from gateway.forward.room import NotStored
from gateway.forward.singles import Run, in_runs
from gateway.forward.wire import BadWire, Inbox, Messages
from gateway.logs import event

_log = logging.getLogger("weir.forward")

SLOWEST = 64 << 10
"""Bytes a second that a message must make beyond forward.message_timeout."""

ACK_WRITE = 30.0
"""Seconds in which a client must make room for an acknowledgement."""

LINGER = 1.0
"""Seconds a client gets to read our last words and close: unread input at a close would throw them away."""

_PING_BYTES = 64 << 10
_NS_PER_SECOND = 1_000_000_000


class BadConnection(Exception):  # noqa: N818 - named for what it is
    """Why a connection is ended from here.

    Attributes:
        reason: short, for the counter.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def first_inbox(settings: Forward, doorkeeper: Doorkeeper | None) -> Inbox:
    """Where the first bytes of a connection go."""
    return _inbox(settings) if doorkeeper is None else Inbox(_PING_BYTES, 2)


def _inbox(settings: Forward) -> Inbox:
    return Inbox(settings.max_message, settings.max_depth)


class Session:
    """One connection. `run` is its life."""

    def __init__(
        self,
        incoming: Incoming,
        client: str,
        settings: Forward,
        intake: Intake,
        buffers: Buffers,
        doorkeeper: Doorkeeper | None,
        figures: ForwardFigures,
        intake_of: Callable[[str], Intake],
    ) -> None:
        """`intake_of`: the way to the store of senders whose keys are for one tenant."""
        self._incoming = incoming
        self._client = client
        self._address = client.rpartition(":")[0] or client
        self._settings = settings
        self._intake = intake
        self._buffers = buffers
        self._doorkeeper = doorkeeper
        self._figures = figures
        self._intake_of = intake_of
        self._grant: Grant | None = None
        self._loop = asyncio.get_running_loop()
        self._unsettled: deque[Taken] = deque()
        self._in_flight = 0
        self._changed = asyncio.Event()  # more to settle, or less
        self._settler: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended: BadConnection | OSError | None = None
        self._stopping = False
        self._partial_for = 0.0

    @property
    def last_read(self) -> float:
        """Seconds of the event loop's clock at which bytes came last."""
        return self._incoming.last_read

    @property
    def _inbox(self) -> Inbox:
        return self._incoming.inbox

    async def run(self) -> None:
        """Serves the connection to its end."""
        self._task = asyncio.current_task()
        self._settler = self._loop.create_task(self._settle())
        try:
            await self._serve()
        except (BadWire, BadConnection, NotStored) as error:
            self._tell(error.reason, str(error))
        except asyncio.CancelledError:
            if self._ended is None:
                self._incoming.transport.abort()
                raise
            if isinstance(self._ended, BadConnection):
                self._tell(self._ended.reason, str(self._ended))
        except OSError:  # the client broke off
            if len(self._inbox):
                self._tell("cut_short", "the client broke off in the middle of a message")
        finally:
            self._incoming.close()  # an orderly end has waited until all was read
            self._settler.cancel()
            self._buffers.release(self)
            self._drop_unsettled()

    async def _serve(self) -> None:
        if self._doorkeeper is not None and not await self._shake_hands(self._doorkeeper):
            return
        try:
            await self._messages()
        except (BadWire, BadConnection):
            await self._settled(0)  # what came before is stored and acknowledged all the same
            raise
        await self._settled(0)
        await self._close()

    # -- what others call

    def stop(self) -> None:
        """Reads no further than the message that has begun to come, acknowledges what came, closes."""
        self._stopping = True
        self._incoming.wake()

    def crowd_out(self) -> None:
        """Ends the connection in favour of others (Buffers)."""
        self._end(BadConnection("stalled", "stood still in a message while others waited for room"))

    def _end(self, why: BadConnection | OSError) -> None:
        if self._ended is None and self._task is not None:
            self._ended = why
            self._task.cancel()

    # -- reading

    async def _shake_hands(self, doorkeeper: Doorkeeper) -> bool:
        """Whether the client is in. One that leaves without a word was a heartbeat."""
        greeting = doorkeeper.greet()
        self._incoming.write(greeting.hello())
        inbox = self._inbox
        try:
            async with asyncio.timeout(self._settings.handshake_timeout / _NS_PER_SECOND):
                while not (found := inbox.take()):
                    if (self._stopping and not len(inbox)) or not await self._incoming.more(None):
                        if len(inbox):
                            raise BadConnection("cut_short", "the client left in the middle of its PING")
                        await self._close()
                        return False
        except TimeoutError as error:
            raise BadConnection("handshake_timeout", "no PING within forward.handshake_timeout") from error
        ping, *early = found.tolist()
        try:
            admitted = greeting.admit(ping)
            self._incoming.write(admitted.pong)
        except Refused as refused:
            skipped = self._intake.not_let_in(refused.reason, self._address)
            if skipped is None:
                self._count("handshake", str(refused))
            else:
                self._tell("handshake", str(refused), more_like_it=skipped)
            self._incoming.write(refused.pong)
            await self._close()
            return False
        self._grant = admitted.grant
        if self._grant is not None and self._grant.tenant:
            self._intake = self._intake_of(self._grant.tenant)
        # A client may send before it has read the PONG.
        self._incoming.inbox = _inbox(self._settings)
        self._inbox.feed(b"".join(early) + inbox.rest())
        return True

    async def _messages(self) -> None:
        while True:
            while messages := self._inbox.take():
                self._partial_for = 0.0
                self._buffers.release(self)
                self._check_key()
                await self._take_in(messages)
            if self._stopping and not len(self._inbox):
                return
            await self._buffers.grow(self, len(self._inbox))
            if not await self._more():
                break
        if len(self._inbox):
            raise BadConnection("cut_short", "the client left in the middle of a message")

    def _check_key(self) -> None:
        """Raises BadConnection if the sender's key is no longer good: connections last for months."""
        keeper, grant = self._doorkeeper, self._grant
        if keeper is None or keeper.keys is None or grant is None:
            return
        if not keeper.keys.ring.is_good(grant, time.time_ns()):
            raise BadConnection("handshake", f"the key {grant.key} is no longer good")

    async def _more(self) -> bool:
        """Waits until more has come; False at the end."""
        partial = len(self._inbox)
        seconds: float | None
        if partial:
            seconds = self._settings.message_timeout / _NS_PER_SECOND + partial / SLOWEST - self._partial_for
        else:
            seconds = self._settings.idle_timeout / _NS_PER_SECOND or None
        began = self._loop.time()
        try:
            more = await self._incoming.more(seconds)
        except TimeoutError as error:
            if len(self._inbox) > partial:  # slow, but maybe not too slow for what it is
                more = True
            elif partial:
                raise BadConnection("slow", "a message did not come whole within forward.message_timeout") from error
            elif self._unsettled:
                more = True
            else:
                raise BadConnection("idle", "no message within forward.idle_timeout") from error
        if partial:  # only the time it makes us wait counts, not ours
            self._partial_for += self._loop.time() - began
        return more

    # -- taking in

    async def _take_in(self, messages: Messages) -> None:
        for found in in_runs(messages):
            if isinstance(found, Run):
                await self._settled(max(0, self._settings.max_in_flight - found.size))
                await self._intake.take_run(found, self._add, self._address)
            elif found[0] != NIL:
                await self._settled(max(0, self._settings.max_in_flight - len(found)))
                self._add(await self._intake.take(found, self._address))

    def _add(self, taken: Taken) -> None:
        self._in_flight += taken.size
        self._figures.unsettled += 1
        self._unsettled.append(taken)
        self._changed.set()

    # -- acknowledging

    async def _settled(self, most: int) -> None:
        """Waits until at most `most` bytes of messages are on their way."""
        while self._unsettled and (self._in_flight > most or not most):
            self._changed.clear()
            await self._changed.wait()

    async def _settle(self) -> None:
        try:
            while True:
                while self._unsettled:
                    taken = self._unsettled[0]
                    await self._intake.settle(taken)
                    if taken.chunk is not None:
                        await self._acknowledge(taken.chunk)
                    self._forget()
                    self._changed.set()
                self._changed.clear()
                await self._changed.wait()
        except (NotStored, BadConnection) as error:
            self._end(BadConnection(error.reason, str(error)))
        except OSError as error:
            self._end(error)

    async def _acknowledge(self, chunk: bytes) -> None:
        # One write, one segment: some clients take what one read brings for one whole acknowledgement.
        self._incoming.write(ack(chunk))
        self._figures.acks += 1
        if not self._incoming.is_full:
            return
        try:
            async with asyncio.timeout(ACK_WRITE):
                await self._incoming.drain()
        except TimeoutError as error:
            raise BadConnection("acks_unread", "the client does not read its acknowledgements") from error

    def _forget(self) -> None:
        taken = self._unsettled.popleft()
        self._in_flight -= taken.size
        self._figures.unsettled -= 1

    def _drop_unsettled(self) -> None:
        while self._unsettled:
            self._unsettled[0].end()
            self._forget()

    # -- the end

    async def _close(self) -> None:
        with suppress(OSError):
            async with asyncio.timeout(LINGER):
                await self._incoming.drain()
                if self._incoming.transport.can_write_eof():
                    self._incoming.transport.write_eof()
                await self._incoming.discard()

    def _count(self, reason: str, text: str) -> None:
        self._figures.closed[reason] += 1
        if reason != "idle":
            self._intake.lost(reason, text, self._address)

    def _tell(self, reason: str, text: str, more_like_it: int = 0) -> None:
        self._count(reason, text)
        more: dict[str, Any] = {"more_like_it": more_like_it} if more_like_it else {}
        event(
            _log,
            logging.WARNING,
            f"forward connection closed: {text}",
            reason=reason,
            client=self._client,
            received=self._incoming.received,
            **more,
        )
