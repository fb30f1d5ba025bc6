"""What tells a file's content from another's, whatever its name: its beginning, and what stands before a position."""

from __future__ import annotations

import msgspec
import xxhash

HEAD = 1024
"""Bytes at the beginning that are looked at."""
TAIL = 256
"""Bytes before a position that are looked at."""


class Print(msgspec.Struct, frozen=True):
    """The content of a file up to a position, as far as it is remembered.

    Attributes:
        offset: the position, in bytes; of packed files as they are unpacked.
        head_size: bytes at the beginning that `head` is of.
        head: a digest.
        tail_size: bytes before the position that `tail` is of.
        tail: a digest.
    """

    offset: int = 0
    head_size: int = 0
    head: str = ""
    tail_size: int = 0
    tail: str = ""

    def moved(self, taken: bytes, before: bytes) -> tuple[Print, bytes]:
        """The print behind bytes that follow, and the HEAD bytes before that position.

        Args:
            taken: the bytes that follow the position.
            before: the HEAD bytes before it, or all there are.
        """
        if not taken:
            return self, before
        head, head_size = self.head, self.head_size
        if head_size < HEAD and len(before) == self.offset:
            start = (before + taken[:HEAD])[:HEAD]
            head, head_size = digest(start), len(start)
        end = taken[-HEAD:] if len(taken) >= HEAD else (before + taken)[-HEAD:]
        tail = end[-TAIL:]
        return Print(self.offset + len(taken), head_size, head, len(tail), digest(tail)), end


def digest(data: bytes) -> str:
    """16 hex digits over bytes."""
    return xxhash.xxh3_64_hexdigest(data)
