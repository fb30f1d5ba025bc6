"""One connection of Fluent Forward, from the handshake to the last acknowledgement.

Messages are taken in one after the other, in the order in which they came; a second task acknowledges them in that
order as they reach the disk. So a sender that does not wait is not slowed down by a sync, and one whose messages cannot
be stored is read no further.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from anyio import to_thread

from config.forward import Forward
from gateway.forward.buffers import Buffers
from gateway.forward.figures import ForwardFigures
from gateway.forward.handshake import Doorkeeper, Refused
from gateway.forward.intake import Intake, Taken
from gateway.forward.messages import NIL, BadMessage, Message, Mode, ack, parse_message
from gateway.forward.room import NotStored
from gateway.forward.wire import BadWire, Inbox
from gateway.logs import event
from gateway.push.threads import INLINE_BYTES, decoding

_log = logging.getLogger("weir.forward")

READ_BYTES = 256 << 10
"""Read from a connection at a time, at most."""

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


class Session:
    """One connection. `run` is its life."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: str,
        settings: Forward,
        intake: Intake,
        buffers: Buffers,
        doorkeeper: Doorkeeper | None,
        figures: ForwardFigures,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._client = client
        self._settings = settings
        self._intake = intake
        self._buffers = buffers
        self._doorkeeper = doorkeeper
        self._figures = figures
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox(settings.max_message, settings.max_depth)
        self._unsettled: deque[Taken] = deque()
        self._in_flight = 0
        self._changed = asyncio.Event()  # more to settle, or less
        self._settler: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended: BadConnection | OSError | None = None
        self._stopping = self._waiting = self._woken = False
        self._partial_for = 0.0
        self._received = 0
        self.last_read = self._loop.time()

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
                self._writer.transport.abort()
                raise
            if isinstance(self._ended, BadConnection):
                self._tell(self._ended.reason, str(self._ended))
        except OSError:  # the client broke off
            if len(self._inbox):
                self._tell("cut_short", "the client broke off in the middle of a message")
        finally:
            # What a client did not read by now it need not have; an orderly end has waited for it.
            if not self._writer.is_closing():
                if self._writer.transport.get_write_buffer_size():
                    self._writer.transport.abort()
                self._writer.close()
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
        if self._waiting and not len(self._inbox) and self._task is not None:
            self._woken = True
            self._task.cancel()

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
        self._writer.write(greeting.hello())
        inbox = Inbox(_PING_BYTES, 2)
        try:
            async with asyncio.timeout(self._settings.handshake_timeout / _NS_PER_SECOND):
                while not (found := inbox.take()):
                    if not (data := await self._reader.read(_PING_BYTES)):
                        if len(inbox):
                            raise BadConnection("cut_short", "the client left in the middle of its PING")
                        await self._close()
                        return False
                    self._received += len(data)
                    inbox.feed(data)
        except TimeoutError as error:
            raise BadConnection("handshake_timeout", "no PING within forward.handshake_timeout") from error
        try:
            self._writer.write(greeting.check(found[0]))
        except Refused as refused:
            self._tell("handshake", str(refused))
            self._writer.write(refused.pong)
            await self._close()
            return False
        # A client may send before it has read the PONG.
        for message in found[1:]:
            self._inbox.feed(message)
        self._inbox.feed(inbox.rest())
        return True

    async def _messages(self) -> None:
        while True:
            while messages := self._inbox.take():
                self._partial_for = 0.0
                self._buffers.release(self)
                await self._take_in(messages)
            if self._stopping and not len(self._inbox):
                return
            await self._buffers.grow(self, len(self._inbox))
            data = await self._read()
            if not data:
                break
            self._inbox.feed(data)
        if len(self._inbox):
            raise BadConnection("cut_short", "the client left in the middle of a message")

    async def _read(self) -> bytes:
        """What comes next; b"" at the end."""
        partial = len(self._inbox)
        seconds: float | None
        if partial:
            seconds = self._settings.message_timeout / _NS_PER_SECOND + partial / SLOWEST - self._partial_for
        else:
            seconds = self._settings.idle_timeout / _NS_PER_SECOND or None
        began = self._loop.time()
        self._waiting = True
        try:
            async with asyncio.timeout(seconds):
                data = await self._reader.read(READ_BYTES)
        except asyncio.CancelledError:
            if not self._woken or self._task is None:
                raise
            self._woken = False
            self._task.uncancel()
            return b""
        except TimeoutError as error:
            if partial:
                raise BadConnection("slow", "a message did not come whole within forward.message_timeout") from error
            if self._unsettled:
                return await self._read()
            raise BadConnection("idle", "no message within forward.idle_timeout") from error
        finally:
            self._waiting = False
        self.last_read = self._loop.time()
        if partial:  # only the time it makes us wait counts, not ours
            self._partial_for += self.last_read - began
        self._received += len(data)
        return data

    # -- taking in

    async def _take_in(self, messages: Sequence[bytes]) -> None:
        alike: list[Message] = []
        size = 0
        for data in messages:
            if data[0] == NIL:
                continue
            try:
                message = await self._parsed(data)
            except BadMessage as bad:
                await self._take(alike, size)
                alike, size = [], 0
                self._figures.messages["unreadable"] += 1
                self._intake.drop(bad.reason, b"")
                self._add(self._intake.nothing(bad.chunk))
                continue
            self._figures.messages[message.mode] += 1
            if alike and not _go_together(alike[0], message):
                await self._take(alike, size)
                alike, size = [], 0
            alike.append(message)
            size += len(data)
        await self._take(alike, size)

    async def _parsed(self, data: bytes) -> Message:
        if len(data) < INLINE_BYTES:
            return parse_message(data)
        return await to_thread.run_sync(parse_message, data, limiter=decoding)

    async def _take(self, alike: Sequence[Message], size: int) -> None:
        if not alike:
            return
        message = alike[0]
        if len(alike) > 1:
            message = replace(message, entries=b"".join([each.entries for each in alike]))
        await self._settled(max(0, self._settings.max_in_flight - size))
        self._add(await self._intake.take(message, size))

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
        self._writer.write(ack(chunk))
        self._figures.acks += 1
        try:
            async with asyncio.timeout(ACK_WRITE):
                await self._writer.drain()
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
                await self._writer.drain()
                if self._writer.can_write_eof():
                    self._writer.write_eof()
                while not self._reader.at_eof() and await self._reader.read(READ_BYTES):
                    pass
        self._writer.close()

    def _tell(self, reason: str, text: str) -> None:
        self._figures.closed[reason] += 1
        event(
            _log,
            logging.WARNING,
            f"forward connection closed: {text}",
            reason=reason,
            client=self._client,
            received=self._received,
        )


def _go_together(first: Message, second: Message) -> bool:
    """Whether two single messages can be taken in as one: nobody asks to hear of either."""
    return (
        first.mode is second.mode is Mode.MESSAGE
        and first.chunk is second.chunk is None
        and first.tag == second.tag
        and first.option == second.option
    )
