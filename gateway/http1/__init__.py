"""HTTP/1.1 as most requests speak it, from a socket to ASGI and back; all else is hypercorn's. See docs/adr/0006."""

from gateway.http1.connection import Connection, Host
from gateway.http1.turn import AT_HAND

__all__ = ["AT_HAND", "Connection", "Host"]
