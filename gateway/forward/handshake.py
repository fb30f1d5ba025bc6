"""The handshake of a secured listener: HELO, PING, PONG (Forward protocol v1, authentication).

Digests are SHA-512 in lower-case hex over plain concatenations; what a sender calls its salt is hashed as it came. Each
message goes out in one piece: Fluent Bit and the older fluent-logger of npm fail on one that comes in two.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import msgpack

_NONCE_BYTES = 16


class Refused(Exception):  # noqa: N818 - named for what happened
    """The sender does not get in.

    Attributes:
        pong: what it is told before the connection is closed.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.pong: bytes = msgpack.packb(["PONG", False, why, "", ""])


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Who may send.

    Attributes:
        shared_key: that senders must know; may be empty.
        users: password by name; none: users do not matter.
        hostname: what we call ourselves; senders refuse a server that has their own name.
    """

    shared_key: bytes
    users: Mapping[bytes, bytes]
    hostname: bytes

    def greet(self) -> Greeting:
        """What one connection is greeted with; never the same twice, as some senders use one salt for ever."""
        salt = secrets.token_bytes(_NONCE_BYTES) if self.users else b""
        return Greeting(self, secrets.token_bytes(_NONCE_BYTES), salt)


@dataclass(frozen=True, slots=True)
class Greeting:
    """One connection's HELO and what must answer it."""

    keeper: Doorkeeper
    nonce: bytes
    auth_salt: bytes

    def hello(self) -> bytes:
        """The HELO."""
        packed: bytes = msgpack.packb(["HELO", {"nonce": self.nonce, "auth": self.auth_salt, "keepalive": True}])
        return packed

    def check(self, ping: bytes) -> bytes:
        """The PONG for a PING, a whole msgpack array.

        Raises:
            Refused: the sender does not know what it must know, or this is no PING.
        """
        try:
            fields = msgpack.unpackb(ping, raw=True, strict_map_key=False)
        except (ValueError, TypeError) as error:
            raise Refused("invalid ping message") from error
        if len(fields) != 6 or fields[0] != b"PING" or not all(isinstance(each, bytes) for each in fields):
            raise Refused("invalid ping message")
        _, client, salt, digest, user, password_digest = fields
        keeper = self.keeper
        if not hmac.compare_digest(digest, _digest(salt, client, self.nonce, keeper.shared_key)):
            raise Refused("shared_key mismatch")
        # Without users the last two fields mean nothing; Fluent Bit fills one of them all the same.
        if keeper.users:
            password = keeper.users.get(user)
            wanted = _digest(self.auth_salt, user, password if password is not None else secrets.token_bytes(16))
            if not hmac.compare_digest(password_digest, wanted):
                raise Refused("username/password mismatch")
        name = keeper.hostname if keeper.hostname != client else keeper.hostname + b".weir"
        answer = ["PONG", True, "", name.decode(), _digest(salt, name, self.nonce, keeper.shared_key).decode()]
        packed: bytes = msgpack.packb(answer)
        return packed


def own_hostname() -> bytes:
    """What we call ourselves in a PONG: not the machine's bare name, which a sender on it has too."""
    return b"weir." + (socket.gethostname().encode("ascii", "replace") or b"local")


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).hexdigest().encode()
