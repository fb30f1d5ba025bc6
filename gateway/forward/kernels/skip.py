"""Where msgpack objects end, without making any of them.

The walk can stop at any byte and go on when more has come, so that each byte is looked at once however it is cut into
reads. What a header declares is held against the limits there and then; nothing is allocated for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import BYTES, inner, kernel

POSITION, DEPTH, START, STACK = 0, 1, 2, 3
"""Places of the state: the next byte to look at (it may lie past what has come), open containers, the first byte of the
object, and from STACK on the members that each open container still lacks."""

TOO_LONG, TOO_DEEP, NOT_MSGPACK, NOT_A_MESSAGE = -1, -2, -3, -4
"""What is wrong, in place of a count: see `skip_objects`."""

_ONE = np.uint64(1)
_EIGHT = np.uint64(8)


@inner
def big_endian(data: Any, at: Any, size: Any) -> Any:
    """The unsigned number (int64) of `size` bytes at `at`; at most 4 bytes."""
    value = np.uint64(0)
    place = np.uint64(at)
    for _ in range(np.uint64(size)):
        value = (value << _EIGHT) | np.uint64(data[place])
        place += _ONE
    return np.int64(value)


@inner
def length_bytes(head: Any) -> Any:
    """Bytes (int64) of length that follow a first byte; 0 where the first byte says it all."""
    if head in (0xC4, 0xC7, 0xD9):
        return np.int64(1)
    if head in (0xC5, 0xC8, 0xDA, 0xDC, 0xDE):
        return np.int64(2)
    if head in (0xC6, 0xC9, 0xDB, 0xDD, 0xDF):
        return np.int64(4)
    return np.int64(0)


@inner
def fixed_body(head: Any) -> Any:
    """Bytes (int64) that follow a first byte whose object has a size of its own; 0 for the others."""
    if 0xA0 <= head <= 0xBF:
        return np.int64(head & 0x1F)
    if head in (0xCC, 0xD0):
        return np.int64(1)
    if head in (0xCD, 0xD1):
        return np.int64(2)
    if head in (0xCA, 0xCE, 0xD2):
        return np.int64(4)
    if head in (0xCB, 0xCF, 0xD3):
        return np.int64(8)
    if 0xD4 <= head <= 0xD8:
        return np.int64(1 + (1 << (head - 0xD4)))
    return np.int64(0)


@kernel(f"int64({BYTES}, int64[::1], int64[::1], int64, int64, boolean)")
def skip_objects(data: Any, state: Any, ends: Any, most_bytes: Any, most_depth: Any, messages: Any) -> Any:
    """Goes on over the objects in `data`, until it or the room for their ends is used up.

    Args:
        data: uint8[n].
        state: int64[STACK + most_depth], all 0 at first; kept between calls. Positions count from data[0].
        ends: int64[], gets the end of each object that is whole.
        most_bytes: an object may have so many.
        most_depth: containers within one another.
        messages: whether each object must be an array or nil, as what senders of Fluent Forward write.

    Returns:
        How many objects are whole. If the next one is at fault and none before it was: TOO_LONG, TOO_DEEP, NOT_MSGPACK,
        NOT_A_MESSAGE; the state is not to be used again.
    """
    size = np.int64(len(data))
    position, depth, start = state[POSITION], state[DEPTH], state[START]
    found = np.int64(0)
    fault = np.int64(0)
    while found < len(ends):
        if depth == 0 and position > start:
            if position > size:
                break
            ends[found] = position
            found += 1
            start = position
            continue
        if position >= size:
            break
        head = np.int64(data[np.uint64(position)])
        if messages and depth == 0 and not (0x90 <= head <= 0x9F or head in (0xDC, 0xDD, 0xC0)):
            fault = np.int64(NOT_A_MESSAGE)
            break
        if head == 0xC1:
            fault = np.int64(NOT_MSGPACK)
            break
        wide = length_bytes(head)
        after = position + 1 + wide
        if after > size:
            break
        declared = big_endian(data, position + 1, wide)
        members = np.int64(0)
        if 0x80 <= head <= 0x8F:
            members = np.int64(2 * (head & 0x0F))
        elif 0x90 <= head <= 0x9F:
            members = np.int64(head & 0x0F)
        elif head in (0xDC, 0xDD):
            members = declared
        elif head in (0xDE, 0xDF):
            members = 2 * declared
        elif wide:
            after += declared
            if 0xC7 <= head <= 0xC9:  # an extension has its type before its bytes
                after += 1
        else:
            after += fixed_body(head)
        # A member has a byte at least.
        if after + members - start > most_bytes:
            fault = np.int64(TOO_LONG)
            break
        if members and depth == most_depth:
            fault = np.int64(TOO_DEEP)
            break
        position = after
        if members:
            state[STACK + depth] = members
            depth += 1
            continue
        while depth:
            state[STACK + depth - 1] -= 1
            if state[STACK + depth - 1]:
                break
            depth -= 1
    state[POSITION], state[DEPTH], state[START] = position, depth, start
    return fault if fault and not found else found
