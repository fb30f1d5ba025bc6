"""Memory of the process as the system sees it: what to keep of freed memory, and what of a library to give back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""mallopt(3)."""

_MADV_DONTNEED = 4
"""madvise(2)."""

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


def give_back_code_of(library: str) -> int:
    """Takes the code of a shared library out of the process' memory; the next call brings back what it needs.

    Loading kernels runs through 50 MB of the compiler's code, which no request needs. Only mappings that are executable
    and not writable are given back: nothing in them is changed after loading, so the file has all of it.

    Args:
        library: what the path of its file has in it.

    Returns:
        Bytes of address space that were given back; 0 where the system has no such call.
    """
    if not sys.platform.startswith("linux"):
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    given = 0
    for start, stop in _code_of(library):
        if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), _MADV_DONTNEED) == 0:
            given += stop - start
    return given


def _code_of(library: str) -> Iterator[tuple[int, int]]:
    """The (start, stop) of the mappings of its code."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights, *rest = line.split(maxsplit=5)
        if rights == "r-xp" and library in rest[-1]:
            start, stop = (int(address, 16) for address in span.split("-"))
            yield start, stop
