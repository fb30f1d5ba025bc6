from __future__ import annotations

import time

import pytest

from gateway.relay.way import KEPT, MOST_BYTES, Loop, Stop, Way, read_path

A, B, C = (Stop(letter * 32, name) for letter, name in (("a", "edge"), ("b", "regional, 1"), ("c", "zentrale ü")))


def way(stop: Stop, oldest: int = 0) -> Way:
    made = Way(stop.name, lambda: oldest)
    made.opened(stop.origin)
    return made


def test_a_header_says_who_sends_and_who_was_heard_of() -> None:
    regional = way(B)
    assert read_path(regional.header()) == (B,)
    regional.heard(read_path(way(A).header()))
    assert read_path(regional.header()) == (B, A)
    central = way(C)
    central.heard(read_path(regional.header()))
    assert set(read_path(central.header())) == {A, B, C}
    assert central.header().isascii()


def test_a_batch_that_has_been_here_is_refused_and_the_chain_is_named() -> None:
    edge = way(A)
    edge.check(read_path(way(B).header()))
    regional, central = way(B), way(C)
    regional.heard(read_path(edge.header()))
    central.heard(read_path(regional.header()))
    with pytest.raises(Loop) as refused:
        edge.check(read_path(central.header()))
    assert "this server, edge (aaaaaaaa)," in str(refused.value)
    assert "zentrale ü (cccccccc) <- " in str(refused.value)
    assert "regional, 1 (bbbbbbbb)" in str(refused.value)


def test_who_was_heard_of_long_ago_is_named_while_its_rows_may_wait() -> None:
    now = time.time_ns()
    for oldest, named in ((0, False), (now, False), (now - 3 * KEPT, True)):
        central = way(C, oldest)
        central.heard([A], now - 2 * KEPT)
        assert (A in read_path(central.header())) is named


def test_many_servers_take_turns() -> None:
    central = way(C)
    edges = [Stop(f"{number:032x}", f"edge-{number}") for number in range(300)]
    central.heard(edges)
    named: set[Stop] = set()
    for _ in range(6):
        header = central.header()
        assert len(header) <= MOST_BYTES
        assert read_path(header)[0] == C
        named.update(read_path(header)[1:])
    assert named == set(edges)


@pytest.mark.parametrize("header", ["", " ", ",,", ";name", " ; , "])
def test_a_header_that_names_nobody_is_none(header: str) -> None:
    assert read_path(header) == ()
