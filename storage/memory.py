"""Giving memory back to the system: what a flush frees would else stay with the allocators' threads that had it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pyarrow as pa


def _trim() -> Callable[[int], Any] | None:
    """malloc_trim of glibc; None where the C library has none (musl, macOS)."""
    try:
        found: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    return found


_malloc_trim = _trim()


def give_back() -> None:
    """Returns free memory of malloc and of Arrow's pool to the system; takes some ms, without the GIL."""
    if _malloc_trim is not None:
        _malloc_trim(0)
    pa.default_memory_pool().release_unused()
