"""Keys as text: how they are drawn, and what is kept of them.

A key is 256 random bits behind its id. Of such a secret a plain SHA-256 is kept: slow hashes (bcrypt, Argon2) make
guessing dear where people choose passwords, and nobody guesses 256 bits at any price; a slow one would only make each
request dear.
"""

from __future__ import annotations

import hashlib
import secrets

MARK = "weir"
"""What every key begins with, so that scanners of repositories find those that were committed."""

FORWARD_SALT = b"weir forward keys"
"""The salt that the handshake of Fluent Forward sends while keys are taken: always the same one.

A sender answers with SHA-512 of salt, user and password. With another salt each time the key itself would have to be
kept to compare; as it is, the digest is kept. Whoever overhears one can send it again, and so a sender must know the
shared key too, whose digest has a nonce in it.
"""

_ID_LENGTH = 10
_ID_CHARACTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_SECRET_BYTES = 32


def new_id() -> str:
    """An id that no other key has: 50 random bits."""
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH))


def new_key(key_id: str) -> str:
    """A key of an id: `weir_ID_SECRET`."""
    return f"{MARK}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def key_hash(key: bytes) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key).digest()


def forward_digest(key_id: str, key: str) -> bytes:
    """What a sender of Fluent Forward sends whose user is the key's id and whose password is the key, in hex."""
    return hashlib.sha512(FORWARD_SALT + key_id.encode() + key.encode()).hexdigest().encode()


def id_in(key: bytes) -> str:
    """The id that stands in a key; "" for what is none."""
    parts = key.split(b"_", 2)
    return parts[1].decode("ascii", "replace") if len(parts) == 3 and parts[0] == MARK.encode() else ""
