"""What a route lets its caller do, and what a key may."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a route does, in the words of a permission."""

    PUSH = "push"
    QUERY = "query"
    ADMIN = "admin"
    STATUS = "status"
    """How the server is, without any entry: for keys that may query or administer."""
    OPEN = "open"


GRANTED = (Scope.PUSH, Scope.QUERY, Scope.ADMIN)
"""What a key can be made for."""
