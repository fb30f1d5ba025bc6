"""The bytes of a connection, cut into messages. Nothing of a message is decoded here."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from gateway.forward.kernels.skip import (
    NOT_A_MESSAGE,
    NOT_MSGPACK,
    POSITION,
    STACK,
    START,
    TOO_DEEP,
    TOO_LONG,
    skip_objects,
)
from storage.batch import I64

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes, wherever they are."""

MESSAGES_A_TURN = 512
"""Messages found in one go."""

LARGE_BYTES = 64 << 10
"""Bytes of messages that are handed on where they are; less is copied."""

PATIENCE = 256 << 10
"""Bytes of a message in part after which whoever reads looks at it again, to ask for room."""

_ANY_SIZE = 1 << 62
_FAULTS = {
    TOO_LONG: ("too_long", "a message is longer than forward.max_message"),
    TOO_DEEP: ("too_deep", "a message nests deeper than forward.max_depth"),
    NOT_MSGPACK: ("not_msgpack", "a byte that begins no msgpack object"),
    NOT_A_MESSAGE: ("not_a_message", "what came is no array, as messages of Fluent Forward are"),
}


class BadWire(Exception):  # noqa: N818 - named for what came
    """Bytes after which the rest of the connection cannot be read.

    Attributes:
        reason: short, for the counter.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class Messages:
    """Whole messages, one behind the other.

    Attributes:
        data: their bytes.
        ends: int64[k], where each ends.
    """

    data: bytes | bytearray
    ends: I64

    def __len__(self) -> int:
        return len(self.ends)

    def tolist(self) -> list[bytes]:
        """Each of them."""
        return [bytes(self.data[start:end]) for start, end in pairwise([0, *self.ends.tolist()])]


class Inbox:
    """What has come of one connection and is not taken yet."""

    def __init__(self, most_bytes: int, most_depth: int) -> None:
        self._most_bytes, self._most_depth = most_bytes, most_depth
        self._bytes = bytearray()
        self._state = np.zeros(STACK + most_depth, np.int64)
        self._ends = np.zeros(MESSAGES_A_TURN, np.int64)
        self._looked_at = 0

    def __len__(self) -> int:
        """Bytes held; after `take` has given nothing, those of a message that came in part."""
        return len(self._bytes)

    @property
    def enough(self) -> int:
        """Bytes with which it is worth to `take` again: the next message may be whole, or has become much longer."""
        return max(self._looked_at + 1, min(int(self._state[POSITION]), self._looked_at + PATIENCE))

    def feed(self, data: Buffer) -> None:
        """More came."""
        self._bytes += data

    def rest(self) -> bytes:
        """What has not been taken; the inbox is not to be used again."""
        return bytes(self._bytes)

    def take(self) -> Messages:
        """The next messages that are whole, MESSAGES_A_TURN at most; none: more has to come.

        A top-level nil, which is a heartbeat (Forward protocol v1), is a message of one byte.

        Raises:
            BadWire: the next message is at fault. Messages before it are given first.
        """
        if not self._bytes:
            return _NONE
        # Views end before the buffer changes its size: a bytearray that is looked at cannot.
        with memoryview(self._bytes) as view:
            found = skip_objects(
                np.frombuffer(view, np.uint8), self._state, self._ends, self._most_bytes, self._most_depth, True
            )
            if found < 0:
                reason, text = _FAULTS[found]
                raise BadWire(reason, text)
            self._looked_at = len(view)
            if not found:
                return _NONE
            ends = self._ends[:found].copy()
            size = int(ends[-1])
            copied = bytes(view[:size]) if size < LARGE_BYTES else None
        if copied is None:
            rest = self._bytes[size:]
            taken, self._bytes = self._bytes, rest
            del taken[size:]
            messages = Messages(taken, ends)
        else:
            del self._bytes[:size]
            messages = Messages(copied, ends)
        self._looked_at -= size
        self._state[POSITION] -= size
        self._state[START] -= size
        return messages


_NONE = Messages(b"", np.zeros(0, np.int64))


def object_ends(data: Buffer, first: int, count: int, most_depth: int = 1024) -> I64:
    """Where objects that stand one after the other end.

    Args:
        data: holds them.
        first: where the first begins.
        count: how many there are at most.
        most_depth: of containers within one another.

    Returns:
        int64[k], the ends of those that are whole; k < count where the data end or something is at fault.
    """
    state, ends = np.zeros(STACK + most_depth, np.int64), np.zeros(count, np.int64)
    state[POSITION] = state[START] = first
    found = skip_objects(np.frombuffer(data, np.uint8), state, ends, _ANY_SIZE, most_depth, False)
    return ends[: max(0, int(found))]
