"""Which key a text is, and what it is good for."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from dataclasses import replace

import pytest

from gateway.auth import Grant, KeyRing, Scope, Unauthenticated
from gateway.auth.credentials import key_in
from gateway.auth.keys import FORWARD_SALT, forward_digest, id_in, key_hash, new_id, new_key
from gateway.auth.muffled import EVERY, MOST, Muffled
from storage import KeySecret
from tests.gateway.auth.some_keys import make_record

NOW = time.time_ns()
HOUR = 3600 * 10**9


def reason(ring: KeyRing, key: str, now: int = NOW) -> str:
    with pytest.raises(Unauthenticated) as refused:
        ring.find(key.encode(), now)
    return refused.value.reason


def test_a_key_has_its_id_and_256_random_bits() -> None:
    key_id = new_id()
    drawn = {new_key(key_id) for _ in range(50)}
    assert len(drawn) == 50
    for key in drawn:
        assert re.fullmatch(rf"weir_{key_id}_[-_A-Za-z0-9]{{43}}", key)
        assert id_in(key.encode()) == key_id
    assert len({new_id() for _ in range(50)}) == 50


@pytest.mark.parametrize("text", ["", "weir", "weir_abc", "loki_abc_secret", "weir_é_x", "Bearer weir_a_b"])
def test_what_is_no_key_has_no_id_that_could_be_one(text: str) -> None:
    assert id_in(text.encode()) not in {new_id() for _ in range(20)}
    assert reason(KeyRing([make_record()[1]]), text) == "unknown"


def test_only_hashes_are_kept() -> None:
    key, record = make_record()
    assert key not in repr(record)
    assert record.secrets[0].hash == key_hash(key.encode())


def test_a_key_is_good_for_what_it_was_made_for() -> None:
    key, record = make_record(("push",), "shop", expires=NOW + HOUR)
    grant = KeyRing([make_record()[1], record]).find(key.encode(), NOW)
    assert grant == Grant(record.id, frozenset({Scope.PUSH}), "shop", NOW + HOUR, record.secrets[0].hash)
    assert [scope for scope in Scope if grant.allows(scope)] == [Scope.PUSH, Scope.OPEN]


@pytest.mark.parametrize(("scopes", "may"), [(("push",), False), (("query",), True), (("admin",), True)])
def test_the_status_is_for_keys_that_query_or_administer(scopes: tuple[str, ...], may: bool) -> None:
    key, record = make_record(scopes)
    assert KeyRing([record]).find(key.encode(), NOW).allows(Scope.STATUS) is may


def test_one_character_more_less_or_other_is_another_key() -> None:
    key, record = make_record()
    ring = KeyRing([record])
    for other in (key[:-1], key + "A", key[:-1] + ("A" if key[-1] != "A" else "B"), key.upper(), f" {key}"):
        assert reason(ring, other) == "unknown"
    assert reason(KeyRing(), key) == "unknown"


def test_a_revoked_key_and_one_that_has_expired_are_told_so() -> None:
    key, record = make_record(expires=NOW + HOUR)
    assert KeyRing([record]).find(key.encode(), NOW + HOUR - 1)
    assert reason(KeyRing([record]), key, NOW + HOUR) == "expired"
    revoked = replace(record, revoked=NOW)
    assert reason(KeyRing([revoked]), key) == "revoked"
    assert reason(KeyRing([revoked]), key, NOW + 2 * HOUR) == "revoked"


def test_after_a_rotation_both_texts_are_good_for_the_grace_and_then_the_new_one() -> None:
    old, record = make_record()
    new = new_key(record.id)
    secrets = (KeySecret(key_hash(new.encode()), b"", NOW), replace(record.secrets[0], until=NOW + HOUR))
    ring = KeyRing([replace(record, secrets=secrets)])
    before = ring.find(old.encode(), NOW)
    assert ring.find(new.encode(), NOW)
    assert reason(ring, old, NOW + HOUR) == "rotated"
    assert ring.find(new.encode(), NOW + HOUR)
    assert ring.is_good(before, NOW)
    assert not ring.is_good(before, NOW + HOUR)
    assert not KeyRing().is_good(before, NOW)


def test_keys_are_counted_while_they_are_good() -> None:
    records = [make_record()[1], make_record(expires=NOW + HOUR)[1], make_record(revoked=NOW)[1]]
    assert KeyRing(records).count(NOW) == 2
    assert KeyRing(records).count(NOW + HOUR) == 1


def test_a_sender_of_fluent_forward_proves_its_key() -> None:
    key, record = make_record(("push",), "shop")
    reader, reads = make_record(("query",))
    ring = KeyRing([record, reads])
    digest = forward_digest(record.id, key)
    grant = ring.find_sender(record.id.encode(), digest, NOW)
    assert grant is not None
    assert grant.tenant == "shop"
    assert FORWARD_SALT
    for user, proof in (
        (reads.id.encode(), digest),
        (record.id.encode(), digest[:-1]),
        (record.id.encode(), b""),
        (reads.id.encode(), forward_digest(reads.id, reader)),
        (reads.id.encode(), b""),
        (b"\xff", digest),
        (b"", digest),
    ):
        assert ring.find_sender(user, proof, NOW) is None
    assert KeyRing([replace(record, revoked=NOW)]).find_sender(record.id.encode(), digest, NOW) is None


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"Bearer k", b"k"),
        (b"bearer  k ", b"k"),
        (b"Basic " + b64encode(b"any:weir_a_b:c"), b"weir_a_b:c"),
        (b"basic " + b64encode(b":k"), b"k"),
        (b"Basic " + b64encode(b"nobody"), b""),
        (b"Basic \xff\xfe", b""),
        (b"Basic YQ", b""),
        (b"Digest k", b""),
        (b"k", b""),
        (b"", b""),
    ],
)
def test_a_key_is_a_bearer_token_or_a_password(header: bytes, key: bytes) -> None:
    assert key_in(header) == key


def test_the_log_says_once_a_minute_that_a_client_is_not_let_in() -> None:
    now = 0.0
    muffled = Muffled(lambda: now)
    assert muffled.skipped("a", "unknown") == 0
    assert [muffled.skipped("a", "unknown") for _ in range(5)] == [None] * 5
    assert muffled.skipped("b", "unknown") == muffled.skipped("a", "scope") == 0
    now = EVERY
    assert muffled.skipped("a", "unknown") == 5
    assert muffled.skipped("a", "unknown") is None


def test_any_number_of_clients_share_what_is_kept() -> None:
    now = 0.0
    muffled = Muffled(lambda: now)
    said = [muffled.skipped(str(number), "unknown") for number in range(2 * MOST)]
    assert said.count(0) == MOST + 1
    now = EVERY
    assert muffled.skipped("new", "unknown") == 0
    assert len(muffled._said) < MOST
