"""The key in a request: in X-API-Key, as a Bearer token, or as the password of basic auth, whatever the user."""

from __future__ import annotations

import binascii
from base64 import b64decode


def key_in(authorization: bytes) -> bytes:
    """The key in an Authorization header (RFC 6750, 2.1; RFC 7617, 2); empty if there is none in it."""
    scheme, _, value = authorization.partition(b" ")
    value = value.strip()
    match scheme.lower():
        case b"bearer":
            return value
        case b"basic":
            try:
                return b64decode(value, validate=True).partition(b":")[2]
            except binascii.Error:
                return b""
        case _:
            return b""
