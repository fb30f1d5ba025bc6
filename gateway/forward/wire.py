"""The bytes of a connection, cut into messages. Nothing of a message is decoded here."""

from __future__ import annotations

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

MESSAGES_A_TURN = 512
"""Messages found in one go."""

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


class Inbox:
    """What has come of one connection and is not taken yet."""

    def __init__(self, most_bytes: int, most_depth: int) -> None:
        self._most_bytes, self._most_depth = most_bytes, most_depth
        self._bytes = bytearray()
        self._state = np.zeros(STACK + most_depth, np.int64)
        self._ends = np.zeros(MESSAGES_A_TURN, np.int64)

    def __len__(self) -> int:
        """Bytes held; after `take` has given nothing, those of a message that came in part."""
        return len(self._bytes)

    def feed(self, data: bytes) -> None:
        """More came."""
        self._bytes += data

    def rest(self) -> bytes:
        """What has not been taken; the inbox is not to be used again."""
        return bytes(self._bytes)

    def take(self) -> list[bytes]:
        """The next messages that are whole, MESSAGES_A_TURN at most; none: more has to come.

        A top-level nil, which is a heartbeat (Forward protocol v1), is a message of one byte.

        Raises:
            BadWire: the next message is at fault. Messages before it are given first.
        """
        if not self._bytes:
            return []
        # Released before the buffer changes its size: a bytearray that is looked at cannot.
        view = np.frombuffer(self._bytes, np.uint8)
        found = skip_objects(view, self._state, self._ends, self._most_bytes, self._most_depth, True)
        del view
        if found < 0:
            reason, text = _FAULTS[found]
            raise BadWire(reason, text)
        if not found:
            return []
        messages, start = [], 0
        for end in self._ends[:found].tolist():
            messages.append(bytes(self._bytes[start:end]))
            start = end
        del self._bytes[:start]
        self._state[POSITION] -= start
        self._state[START] -= start
        return messages


def object_ends(data: bytes, first: int, count: int, most_depth: int = 1024) -> I64:
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
