"""The keys of a server in memory: which of them a text is, and what it may. A ring never changes; it is replaced."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.auth.grants import Grant, Unauthenticated
from gateway.auth.keys import id_in, key_hash
from gateway.auth.scopes import Scope
from storage import KeyRecord

_SCOPES = {scope.value: scope for scope in Scope}


@dataclass(frozen=True, slots=True)
class _Held:
    """One secret of a key.

    Attributes:
        hash, forward: as of storage.KeySecret.
        grant: what it is good for.
        ends: why it is no more once grant.until is over: revoked, expired or rotated.
    """

    hash: bytes
    forward: bytes
    grant: Grant
    ends: str


_TEXTS = {
    "revoked": "this key was revoked",
    "expired": "this key has expired",
    "rotated": "this key has been replaced by a new one",
}


class KeyRing:
    """Keys by id.

    Attributes:
        records: that it was made of.
    """

    def __init__(self, records: Sequence[KeyRecord] = ()) -> None:
        self.records = list(records)
        self._held = {record.id: tuple(_held(record)) for record in records}

    def count(self, now: int) -> int:
        """How many keys are good at a time (ns)."""
        return sum(any(_is_good(one.grant, now) for one in some) for some in self._held.values())

    def find(self, key: bytes, now: int) -> Grant:
        """What a key is good for at a time (ns).

        Raises:
            Unauthenticated: it is none, or no more.
        """
        wanted = key_hash(key)
        found = None
        for one in self._held.get(id_in(key), ()):
            if hmac.compare_digest(one.hash, wanted):
                found = one
        if found is None:
            raise Unauthenticated("unknown", "this key is not known here")
        if not _is_good(found.grant, now):
            raise Unauthenticated(found.ends, _TEXTS[found.ends])
        return found.grant

    def is_good(self, grant: Grant, now: int) -> bool:
        """Whether what a key was good for once, it still is at a time (ns)."""
        held = self._held.get(grant.key, ())
        return any(one.hash == grant.secret and _is_good(one.grant, now) for one in held)

    def find_sender(self, user: bytes, digest: bytes, now: int) -> Grant | None:
        """What the key of a sender of Fluent Forward is good for at a time (ns); None if it is no good key.

        Args:
            user: that the sender names: the key's id.
            digest: of its password, in hex.
            now: ns.
        """
        found = None
        for one in self._held.get(user.decode("ascii", "replace"), ()):
            if one.forward and hmac.compare_digest(one.forward, digest):
                found = one.grant
        return found if found is not None and _is_good(found, now) else None


def _held(record: KeyRecord) -> Iterable[_Held]:
    scopes = frozenset(_SCOPES[name] for name in record.scopes if name in _SCOPES)
    for secret in record.secrets:
        ends = [(record.revoked, "revoked"), (record.expires, "expired"), (secret.until, "rotated")]
        until, why = min((end for end in ends if end[0]), default=(0, ""))
        yield _Held(secret.hash, secret.forward, Grant(record.id, scopes, record.tenant, until, secret.hash), why)


def _is_good(grant: Grant, now: int) -> bool:
    return not grant.until or now < grant.until
