"""Entries as the bytes of a Loki push in protobuf (logproto.PushRequest), by columns: no object an entry.

The shape of the message is in gateway/push/push_messages.py. Varints are as short as they can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

_SECOND = 1_000_000_000
_STREAMS, _LABELS, _ENTRIES = 0x0A, 0x0A, 0x12
_TIMESTAMP, _LINE = 0x0A, 0x12
_SECONDS, _NANOS = 0x08, 0x10


def entries_bytes(text: bytes, lengths: I64, ts: I64) -> bytes:
    """The fields `entries` of a stream.

    Args:
        text: the lines, one behind the other, with nothing between them.
        lengths: int64[n], bytes of each line.
        ts: int64[n], ns from 0 on.
    """
    if not len(lengths):
        return b""
    seconds, nanos = np.divmod(ts, _SECOND)
    second_size, nano_size, length_size = varint_sizes(seconds), varint_sizes(nanos), varint_sizes(lengths)
    # A time has two tags of a byte, its own length is below 128.
    stamp = second_size + nano_size + 2
    inner = stamp + length_size + lengths + 3
    inner_size = varint_sizes(inner)
    heads = inner_size + stamp + length_size + 4
    begin = np.cumsum(heads + lengths) - heads - lengths
    out = np.empty(int(begin[-1] + heads[-1] + lengths[-1]), np.uint8)
    is_line = np.ones(len(out), np.bool_)
    at = begin

    def byte(value: int | I64) -> None:
        nonlocal at
        out[at] = value
        is_line[at] = False
        at = at + 1

    def varint(values: I64, sizes: I64) -> None:
        nonlocal at
        for place in range(int(sizes.max())):
            here = np.flatnonzero(sizes > place)
            last = sizes[here] == place + 1
            where = at[here] + place
            out[where] = ((values[here] >> (7 * place)) & 0x7F) | np.where(last, 0, 0x80)
            is_line[where] = False
        at = at + sizes

    byte(_ENTRIES)
    varint(inner, inner_size)
    byte(_TIMESTAMP)
    byte(stamp)
    byte(_SECONDS)
    varint(seconds, second_size)
    byte(_NANOS)
    varint(nanos, nano_size)
    byte(_LINE)
    varint(lengths, length_size)
    out[is_line] = np.frombuffer(text, np.uint8)
    return out.tobytes()


def request_bytes(streams: Mapping[str, Iterable[bytes]]) -> bytes:
    """A whole push: the text of a label set -> the entries of that stream, in pieces of `entries_bytes`."""
    parts: list[bytes] = []
    for labels, entries in streams.items():
        named = labels.encode("utf-8", "surrogateescape")
        pieces = [bytes((_LABELS,)), _varint(len(named)), named, *entries]
        parts += [bytes((_STREAMS,)), _varint(sum(map(len, pieces))), *pieces]
    return b"".join(parts)


def varint_sizes(values: I64) -> I64:
    """int64[n]: bytes of each value (from 0 on) as a varint."""
    sizes = np.ones(len(values), np.int64)
    most = int(values.max(initial=0))
    for bits in range(7, 63, 7):
        if most >> bits == 0:
            break
        sizes += values >> bits > 0
    return sizes


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
