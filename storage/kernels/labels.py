"""Which label pairs streams have, and which streams have some of them, over the whole table at once."""

from __future__ import annotations

from typing import Any

from storage.kernels.cache import OFFSETS, kernel

_NUMBERS = "Array(int32, 1, 'C', True)"
_MARKS = "Array(boolean, 1, 'C', True)"


@kernel(f"void({OFFSETS}, {_NUMBERS}, {_NUMBERS}, {_NUMBERS}, boolean[::1], boolean[::1])")
def mark_pairs(starts: Any, codes: Any, name_of: Any, streams: Any, pairs: Any, names: Any) -> None:
    """Marks the label pairs and the names that streams have.

    Args:
        starts: int64[at least the streams + 1], where each stream's pairs begin in `codes`.
        codes: int32[starts[-1]], pairs.
        name_of: int32[pairs], the name of each pair.
        streams: int32[k], the streams that are asked for.
        pairs: bool[pairs], written to.
        names: bool[names], written to.
    """
    for i in range(len(streams)):
        stream = streams[i]
        for place in range(starts[stream], starts[stream + 1]):
            pairs[codes[place]] = True
    for code in range(len(pairs)):
        if pairs[code]:
            names[name_of[code]] = True


@kernel(f"void({OFFSETS}, {_NUMBERS}, {_MARKS}, boolean[::1])")
def mark_streams(starts: Any, codes: Any, wanted: Any, out: Any) -> None:
    """Marks the streams that have one of the pairs `wanted`.

    Args:
        starts: int64[at least the streams + 1], where each stream's pairs begin in `codes`.
        codes: int32[starts[-1]], pairs.
        wanted: bool[any]; pairs past its end are not wanted.
        out: bool[streams], written to.
    """
    known = len(wanted)
    for stream in range(len(out)):
        for place in range(starts[stream], starts[stream + 1]):
            code = codes[place]
            if code < known and wanted[code]:
                out[stream] = True
                break
