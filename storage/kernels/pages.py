"""Parquet pages: finding them in a column chunk, and decoding DELTA_BINARY_PACKED numbers (the Parquet specification).

Only what blocks use is understood; anything else is answered as malformed, which a caller reports as a corrupt block.
pyarrow is the oracle in the tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import BYTES, inner, kernel

PAYLOAD, COMPRESSED, PLAIN, VALUES, CRC, KIND, ENCODING = range(7)
"""Columns of what `page_table` writes: where a page's payload begins, its bytes compressed and plain, its values, the
CRC32 of the payload (-1: none is given), the page type, and the encoding of its values."""

FIELDS = 7
DATA_PAGE, DICTIONARY_PAGE = 0, 2
DELTA_BINARY_PACKED, DELTA_LENGTH_BYTE_ARRAY = 5, 6
"""Codes of the Parquet specification."""

MALFORMED = -1
_DEPTH = 8
"""Structs inside structs of a page header at most; Parquet's go three deep."""


@inner
def _varint(data: Any, at: Any, end: Any) -> Any:
    """(value as uint64, where it ends); the end is MALFORMED if it does not end in time."""
    value = np.uint64(0)
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= np.uint64(byte & 0x7F) << np.uint64(shift)
        if byte < 0x80:
            return value, at
    return value, MALFORMED


@inner
def _zigzag(value: Any) -> Any:
    return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1))


@inner
def _note(page: Any, depth: Any, outer: Any, field: Any, value: Any) -> Any:
    """Keeps a number of a page header (outer struct: field 0 at depth 0) that is of use."""
    if depth == 0:
        if field == 1:
            page[KIND] = value
        elif field == 2:
            page[PLAIN] = value
        elif field == 3:
            page[COMPRESSED] = value
        elif field == 4:
            page[CRC] = value & 0xFFFFFFFF
    elif depth == 1 and (outer in (5, 7)):
        if field == 1:
            page[VALUES] = value
        elif field == 2:
            page[ENCODING] = value


@inner
def _header(data: Any, at: Any, end: Any, page: Any) -> Any:
    """Reads one page header, a struct in Thrift's compact protocol; returns where it ends."""
    fields = np.zeros(_DEPTH, np.int64)
    depth = 0
    while True:
        if at >= end:
            return MALFORMED
        head = np.int64(data[at])
        at += 1
        if head == 0:
            if depth == 0:
                return at
            depth -= 1
            continue
        kind = head & 15
        if head >> 4:
            fields[depth] += head >> 4
        else:
            number, at = _varint(data, at, end)
            if at < 0:
                return MALFORMED
            fields[depth] = _zigzag(number)
        if kind in (1, 2):  # a boolean is in its type
            continue
        if kind == 3:
            at += 1
        elif kind in (4, 5, 6):
            number, at = _varint(data, at, end)
            if at < 0:
                return MALFORMED
            _note(page, depth, fields[0], fields[depth], _zigzag(number))
        elif kind == 7:
            at += 8
        elif kind == 8:
            size, at = _varint(data, at, end)
            if at < 0 or size > np.uint64(end - at):
                return MALFORMED
            at += np.int64(size)
        elif kind == 12:
            depth += 1
            if depth == _DEPTH:
                return MALFORMED
            fields[depth] = 0
        else:
            return MALFORMED


@kernel(f"int64({BYTES}, int64, int64, int64[:, ::1])")
def page_table(data: Any, at: Any, end: Any, pages: Any) -> Any:
    """Finds the pages of a column chunk.

    Args:
        data: uint8[], the file.
        at: where the chunk begins.
        end: where it ends.
        pages: int64[m, FIELDS], filled.

    Returns:
        How many there are; MALFORMED if they cannot be read; m + 1 if there are more than m.
    """
    count = 0
    while at < end:
        if count == len(pages):
            return count + 1
        page = pages[count]
        page[:] = 0
        page[CRC] = -1
        page[ENCODING] = -1
        at = _header(data, at, end, page)
        if at < 0 or page[COMPRESSED] < 0 or page[PLAIN] < 0 or page[VALUES] < 0 or page[COMPRESSED] > end - at:
            return MALFORMED
        page[PAYLOAD] = at
        at += page[COMPRESSED]
        count += 1
    return count


@inner
def _miniblock(data: Any, at: Any, width: Any, out: Any, first: Any, count: Any, low: Any) -> Any:
    """Adds `count` deltas of `width` bits, each plus `low`, to the running value before out[first]."""
    value = out[first - 1]
    if width == 0:
        for place in range(first, first + count):
            value += low
            out[place] = value
        return
    if width <= 56:
        held, bits = np.uint64(0), np.int64(0)
        mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
        for place in range(first, first + count):
            while bits < width:
                held |= np.uint64(data[at]) << np.uint64(bits)
                at += 1
                bits += 8
            value += low + np.int64(held & mask)
            held >>= np.uint64(width)
            bits -= width
            out[place] = value
        return
    bit = np.int64(0)
    for place in range(first, first + count):
        delta = np.uint64(0)
        for number in range(width):
            here = bit + number
            delta |= np.uint64((data[at + (here >> 3)] >> np.uint8(here & 7)) & 1) << np.uint64(number)
        bit += width
        value += low + np.int64(delta)
        out[place] = value


@kernel(f"int64({BYTES}, int64, int64, int64[::1])")
def delta_values(data: Any, at: Any, end: Any, out: Any) -> Any:
    """Decodes DELTA_BINARY_PACKED numbers.

    Args:
        data: uint8[], a page.
        at: where the numbers begin.
        end: what they must not reach beyond.
        out: int64[n], filled; n must be as many as the page says.

    Returns:
        Where they end; MALFORMED if they cannot be read or end too early.
    """
    block, at = _varint(data, at, end)
    if at < 0:
        return MALFORMED
    minis, at = _varint(data, at, end)
    if at < 0:
        return MALFORMED
    total, at = _varint(data, at, end)
    if at < 0 or total != np.uint64(len(out)):
        return MALFORMED
    first, at = _varint(data, at, end)
    if at < 0 or minis == 0 or minis > 512 or block == 0 or block % minis or block > 1 << 20:
        return MALFORMED
    size = np.int64(block // minis)
    if size % 8:
        return MALFORMED
    if not len(out):
        return at
    out[0] = _zigzag(first)
    done = 1
    while done < len(out):
        low, at = _varint(data, at, end)
        if at < 0:
            return MALFORMED
        widths = at
        at += np.int64(minis)
        if at > end:
            return MALFORMED
        for number in range(np.int64(minis)):
            if done == len(out):
                break
            width = np.int64(data[widths + number])
            if width > 64 or at + width * size // 8 > end:
                return MALFORMED
            count: Any = min(size, len(out) - done)
            _miniblock(data, at, width, out, done, count, _zigzag(low))
            done += count
            at += width * size // 8
    return at
