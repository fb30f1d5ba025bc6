"""The C library's allocator, told not to give memory back that the next array will want again."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""mallopt(3)."""

LARGEST_KEPT = 32 << 20
"""Bytes. Larger blocks are mapped from the system and given back; this is the most that glibc takes."""
KEPT = 64 << 20
"""Bytes at the end of the heap that may lie unused."""


def keep_freed_memory() -> bool:
    """Lets the process use freed memory again. Whether the C library knows how; where not, nothing changes.

    numpy's arrays of a unit are just over the size from which glibc maps each from the system and gives it back: the
    system then clears every page anew, which cost a fifth of a query with a parser.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT)) and bool(mallopt(_M_TRIM_THRESHOLD, KEPT))
