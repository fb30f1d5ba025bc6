"""The handshake of a secured listener: HELO, PING, PONG (Forward protocol v1, authentication).

Digests are SHA-512 in lower-case hex over plain concatenations; what a sender calls its salt is hashed as it came. Each
message goes out in one piece: Fluent Bit and the older fluent-logger of npm fail on one that comes in two.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

import msgpack

from gateway.auth import Gate, Grant, Scope
from gateway.auth.keys import FORWARD_SALT

_NONCE_BYTES = 16


class Refused(Exception):  # noqa: N818 - named for what happened
    """The sender does not get in.

    Attributes:
        reason: short, for the counter: ping, shared_key, user, key.
        pong: what it is told before the connection is closed.
    """

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.pong: bytes = msgpack.packb(["PONG", False, why, "", ""])


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Who may send.

    Attributes:
        shared_key: that senders must know; may be empty.
        users: password by name; none: users do not matter.
        hostname: what we call ourselves; senders refuse a server that has their own name.
        keys: that a sender may have in place of a user: the user is the key's id, the password the key. None: no keys.
    """

    shared_key: bytes
    users: Mapping[bytes, bytes]
    hostname: bytes
    keys: Gate | None = None

    def greet(self) -> Greeting:
        """What one connection is greeted with; never the same twice, as some senders use one salt for ever."""
        salt = secrets.token_bytes(_NONCE_BYTES) if self.users else b""
        if self.keys is not None:
            salt = FORWARD_SALT
        return Greeting(self, secrets.token_bytes(_NONCE_BYTES), salt)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A sender that is in: the PONG for it, and what its key is good for, if it has one."""

    pong: bytes
    grant: Grant | None


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
        """The PONG for a PING; arguments and errors as of `admit`."""
        return self.admit(ping).pong

    def admit(self, ping: bytes) -> Admitted:
        """Lets the sender of a PING, a whole msgpack array, in.

        Raises:
            Refused: it does not know what it must know, or this is no PING.
        """
        try:
            fields = msgpack.unpackb(ping, raw=True, strict_map_key=False)
        except (ValueError, TypeError) as error:
            raise Refused("ping", "invalid ping message") from error
        if len(fields) == 6 and fields[4] is None:  # fluent-logger of npm with no user
            fields[4] = b""
        if len(fields) != 6 or fields[0] != b"PING" or not all(isinstance(each, bytes) for each in fields):
            raise Refused("ping", "invalid ping message")
        _, client, salt, digest, user, password_digest = fields
        keeper = self.keeper
        if not hmac.compare_digest(digest, _digest(salt, client, self.nonce, keeper.shared_key)):
            raise Refused("shared_key", "shared_key mismatch")
        grant = self._check_user(user, password_digest)
        name = keeper.hostname if keeper.hostname != client else keeper.hostname + b".weir"
        answer = ["PONG", True, "", name.decode(), _digest(salt, name, self.nonce, keeper.shared_key).decode()]
        return Admitted(msgpack.packb(answer), grant)

    def _check_user(self, user: bytes, password_digest: bytes) -> Grant | None:
        """What a sender's key is good for, if it has one. Raises Refused."""
        keeper = self.keeper
        if keeper.keys is not None and user not in keeper.users and (user or keeper.users):
            return self._check_key(keeper.keys, user, password_digest)
        # Without users the last two fields mean nothing; Fluent Bit fills one of them all the same.
        if keeper.users:
            password = keeper.users.get(user)
            wanted = _digest(self.auth_salt, user, password if password is not None else secrets.token_bytes(16))
            if not hmac.compare_digest(password_digest, wanted):
                raise Refused("user", "username/password mismatch")
        return None

    def _check_key(self, keys: Gate, user: bytes, password_digest: bytes) -> Grant:
        grant = keys.ring.find_sender(user, password_digest, time.time_ns())
        if grant is None:
            raise Refused("key", "username/password mismatch: no good key has this id and this text")
        if not grant.allows(Scope.PUSH):
            raise Refused("key", f"the key {grant.key} may not push")
        return grant


def own_hostname() -> bytes:
    """What we call ourselves in a PONG: not the machine's bare name, which a sender on it has too."""
    return b"weir." + (socket.gethostname().encode("ascii", "replace") or b"local")


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).hexdigest().encode()
