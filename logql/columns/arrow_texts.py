"""Lines as Arrow's strings, for its regexes, and those among them that are none."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from storage.batch import Texts


def strings_of(lines: Texts) -> Any:
    """A large_string array over the lines' memory. What is in it is not looked at."""
    lines = lines.compact()
    return pa.Array.from_buffers(pa.large_string(), len(lines), lines.to_arrow().buffers())


def invalid_rows(strings: Any) -> list[int]:
    """Rows that are not valid UTF-8, found by halving: n rows cost one pass, each bad one log n more."""
    bad: list[int] = []
    spans = [(0, len(strings))]
    while spans:
        start, stop = spans.pop()
        if start == stop or _is_valid(strings.slice(start, stop - start)):
            continue
        if stop - start == 1:
            bad.append(start)
        else:
            middle = (start + stop) // 2
            spans += [(start, middle), (middle, stop)]
    return bad


def _is_valid(strings: Any) -> bool:
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
