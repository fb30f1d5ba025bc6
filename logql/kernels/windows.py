"""Which steps of a metric query an entry counts in, and sums of entries by series and step.

An entry at `ts` is in the windows (t - width, t] of the steps t from the first at or after it to the last before
ts + width. So a series' values by step are running sums of changes: what enters at one step and leaves at another. A
row costs two changes at most, and nothing where it enters and leaves with the row before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import OFFSETS, inner, kernel

UNKNOWN, FULL = -1, -2
"""What `changes` answers if it does not know an entry's group, or has no room for more changes."""

CODES = "Array(int32, 1, 'C', True)"


_CODE, _GROUP, _LOW, _HIGH, _ENTERS, _LEAVES, _COUNT, _SUM = range(8)
"""What is held of the last entries of a code: those with low < ts <= high enter and leave at the same steps."""


@inner
def _emit(held: Any, found: Any, width: Any, keys: Any, counts: Any, sums: Any) -> Any:
    """Writes the two changes of what is held; returns how many there are then, FULL if there is no room."""
    if not held[_COUNT] or held[_ENTERS] >= held[_LEAVES]:
        return found
    if found + 2 > len(keys):
        return FULL
    at = np.uint64(found)
    keys[at], counts[at], sums[at] = held[_GROUP] * width + held[_ENTERS], held[_COUNT], held[_SUM]
    at += np.uint64(1)
    keys[at], counts[at], sums[at] = held[_GROUP] * width + held[_LEAVES], -held[_COUNT], -held[_SUM]
    return found + 2


@kernel(
    f"int64({CODES}, {CODES}, {OFFSETS}, {OFFSETS}, {OFFSETS}, int64, int64, int64, int64, int64, "
    "int64[::1], int64[::1], int64[::1])"
)
def changes(
    code: Any,
    groups: Any,
    ts: Any,
    entries: Any,
    amounts: Any,
    slots: Any,
    start: Any,
    step: Any,
    steps: Any,
    width: Any,
    keys: Any,
    counts: Any,
    sums: Any,
) -> Any:
    """Finds the changes that entries make to the counts and sums of their groups.

    Args:
        code: int32[n], what each entry is told apart by.
        groups: int32[codes], code -> group; negative where that is not known yet.
        ts: int64[n], ns; where those of one code ascend, changes are few.
        entries: int64[n], how many entries each stands for; empty: one each.
        amounts: int64[n], what each adds to the sum; empty: nothing.
        slots: 1 where entries of one code stand together; as many as codes where they are mixed.
        start: ns, the first step, offset taken off.
        step: ns between steps, > 0.
        steps: how many there are.
        width: ns of a window, > 0.
        keys: int64[m], filled: group * (steps + 1) + the step from which on a change holds.
        counts: int64[m], filled: what it changes of the count.
        sums: int64[m], filled: of the sum.

    Returns:
        How many changes there are, 2n at most; UNKNOWN if the group of some entry is not known, FULL if m is too few.
    """
    found = np.int64(0)
    table = np.zeros((slots, 8), np.int64)
    table[:, _CODE] = -1
    key_width = np.int64(steps) + 1
    row, size = np.uint64(0), np.uint64(len(ts))
    while row < size:
        at, of = ts[row], np.uint64(code[row])
        held = table[of] if slots > 1 else table[0]
        if held[_CODE] != np.int64(of) or at <= held[_LOW] or at > held[_HIGH]:
            found = _emit(held, found, key_width, keys, counts, sums)
            if found < 0:
                return FULL
            group = np.int64(groups[of])
            if group < 0:
                return UNKNOWN
            # Ceilings: // rounds down.
            enters = -((start - at) // step)
            leaves = -((start - at - width) // step)
            held[_CODE], held[_GROUP], held[_COUNT], held[_SUM] = np.int64(of), group, 0, 0
            held[_LOW] = max(start + (enters - 1) * step, start + (leaves - 1) * step - width)
            held[_HIGH] = min(start + enters * step, start + leaves * step - width)
            held[_ENTERS] = min(max(enters, np.int64(0)), steps)
            held[_LEAVES] = min(max(leaves, np.int64(0)), steps)
        low, high, first = held[_LOW], held[_HIGH], row
        count, total = np.int64(0), np.int64(0)
        while row < size and np.uint64(code[row]) == of and low < ts[row] <= high:
            row += np.uint64(1)
        if len(entries):
            for place in range(first, row):
                count += entries[place]
        else:
            count = np.int64(row - first)
        if len(amounts):
            for place in range(first, row):
                total += amounts[place]
        held[_COUNT] += count
        held[_SUM] += total
    for slot in range(slots):
        found = _emit(table[slot], found, key_width, keys, counts, sums)
        if found < 0:
            return FULL
    return found
