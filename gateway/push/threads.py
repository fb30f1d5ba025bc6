"""The threads in which every door decodes what is too big for the event loop."""

from __future__ import annotations

from anyio import CapacityLimiter

INLINE_BYTES = 64 << 10
"""Bodies that unpack to less are decoded on the event loop: handing one to a thread would cost more."""

DECODING_THREADS = 2
"""Bodies decoded beside the event loop at once. Decoding holds the interpreter, so more threads would only wait."""

decoding = CapacityLimiter(DECODING_THREADS)
"""Taken by a body for as long as it is decoded in a thread."""
