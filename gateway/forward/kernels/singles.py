"""Messages of one event each, told apart and gathered without making an object of any of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.forward.kernels.skip import big_endian, fixed_body, length_bytes
from storage.kernels.cache import BYTES, inner, kernel

TAG_START, TAG_END, ENTRY, ENTRY_END, CHUNK, CHUNK_END, KIND, FOLLOWS, FIELDS = range(9)
"""Places of a head: the tag's text; the time and the record behind it; the object under `chunk`, both 0 for none; one
of the kinds below; whether kind and tag are those of the message before."""

OTHER, QUIET, ASKING = range(3)
"""Kinds: one to be read with care; an event and nothing else; an event and a chunk to acknowledge."""

_NIL = 0xC0
_BEGIN = np.uint8(0x92)
_ONE = np.uint64(1)


@inner
def is_text(head: Any) -> Any:
    """Whether a str or bin begins."""
    return 0xA0 <= head <= 0xBF or 0xC4 <= head <= 0xC6 or 0xD9 <= head <= 0xDB


@inner
def after_object(data: Any, start: Any, end: Any) -> Any:
    """Where the object at `start` ends, or a number past `end` where it does not end before."""
    at, open_ = np.int64(start), np.int64(1)
    while open_ and at < end:
        head = np.int64(data[np.uint64(at)])
        wide = length_bytes(head)
        after = at + 1 + wide
        if after > end:
            return after
        declared = big_endian(data, at + 1, wide)
        open_ -= 1
        if 0x80 <= head <= 0x8F:
            open_ += 2 * (head & 0x0F)
        elif 0x90 <= head <= 0x9F:
            open_ += head & 0x0F
        elif head in (0xDC, 0xDD):
            open_ += declared
        elif head in (0xDE, 0xDF):
            open_ += 2 * declared
        elif wide:
            after += declared
            if 0xC7 <= head <= 0xC9:  # an extension has its type before its bytes
                after += 1
        else:
            after += fixed_body(head)
        at = after
    return end + 1 if open_ else at


@inner
def _same(data: Any, first: Any, second: Any, size: Any) -> Any:
    one, two = np.uint64(first), np.uint64(second)
    for _ in range(np.uint64(size)):
        if data[one] != data[two]:
            return False
        one += _ONE
        two += _ONE
    return True


@kernel(f"void({BYTES}, int64[::1], int64[:, ::1])")
def single_heads(data: Any, ends: Any, heads: Any) -> None:
    """What each message is, as far as its first bytes say.

    QUIET and ASKING are an array [tag, time, record] or [tag, time, record, option] whose option is nil, an empty map
    or, for ASKING, the map {"chunk": a str or bin}. A time that is an array is none of these, nor is a record in
    any other place.

    Args:
        data: uint8[n], whole messages one behind the other.
        ends: int64[k], where each ends.
        heads: int64[k, FIELDS], filled.
    """
    start = np.int64(0)
    for i in range(len(ends)):
        end = ends[i]
        for field in range(FIELDS):
            heads[i, field] = 0
        begin, start = start, end
        if end - begin < 4 or not (data[np.uint64(begin)] == 0x93 or data[np.uint64(begin)] == 0x94):
            continue
        members = np.int64(data[np.uint64(begin)]) & 0x0F
        tag = begin + 1
        head = np.int64(data[np.uint64(tag)])
        entry = after_object(data, tag, end)
        if not is_text(head) or entry >= end:
            continue
        time = np.int64(data[np.uint64(entry)])
        if not (time <= 0x7F or time >= 0xE0 or time == _NIL or 0xC7 <= time <= 0xD8):
            continue
        record = after_object(data, entry, end)
        if record >= end:
            continue
        kind = np.int64(QUIET)
        entry_end = end
        if members == 4:
            entry_end = after_object(data, record, end)
            if entry_end >= end:
                continue
            option = np.int64(data[np.uint64(entry_end)])
            if option == 0x81:
                # \xa5chunk
                place = entry_end + 1
                if end - place < 7 or data[np.uint64(place)] != 0xA5:
                    continue
                is_chunk = (
                    data[np.uint64(place + 1)] == 0x63
                    and data[np.uint64(place + 2)] == 0x68
                    and data[np.uint64(place + 3)] == 0x75
                    and data[np.uint64(place + 4)] == 0x6E
                    and data[np.uint64(place + 5)] == 0x6B
                )
                if not is_chunk or not is_text(np.int64(data[np.uint64(place + 6)])):
                    continue
                kind = np.int64(ASKING)
                heads[i, CHUNK] = place + 6
                heads[i, CHUNK_END] = end
            elif option not in (_NIL, 0x80):
                continue
        heads[i, TAG_START] = tag + 1 + length_bytes(head)
        heads[i, TAG_END] = entry
        heads[i, ENTRY] = entry
        heads[i, ENTRY_END] = entry_end
        heads[i, KIND] = kind
        if i and heads[i - 1, KIND] == kind:
            size = heads[i, TAG_END] - heads[i, TAG_START]
            if heads[i - 1, TAG_END] - heads[i - 1, TAG_START] == size and _same(
                data, heads[i - 1, TAG_START], heads[i, TAG_START], size
            ):
                heads[i, FOLLOWS] = 1


@kernel(f"int64({BYTES}, int64[:, ::1], uint8[::1])")
def gather_entries(data: Any, heads: Any, out: Any) -> Any:
    """Entries [time, record], one after the other.

    Args:
        data: uint8[n], as in `single_heads`.
        heads: int64[k, FIELDS], of messages that are not OTHER.
        out: uint8[], room for a byte more for each than ENTRY .. ENTRY_END.

    Returns:
        Bytes used of `out`.
    """
    at = np.uint64(0)
    for i in range(len(heads)):
        out[at] = _BEGIN
        at += _ONE
        place = np.uint64(heads[i, ENTRY])
        for _ in range(np.uint64(heads[i, ENTRY_END] - heads[i, ENTRY])):
            out[at] = data[place]
            at += _ONE
            place += _ONE
    return np.int64(at)
