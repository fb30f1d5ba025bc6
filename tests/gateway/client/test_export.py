"""An export goes on after a cut from its last mark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest

from gateway.client.connection import Connection, Incoming
from gateway.client.errors import ClientError, CutShort, ServerRefused, Unreachable
from gateway.client.export import TRIES, Part, Pause, Wanted, export

WANTED = Wanted('{app="a"}', 0, 10, "ndjson", limit=5)
BEGUN = b'one\n{"mark":{"cursor":"c1","ts":"1","lines":1}}\nhalf'
REST = b'two\n{"mark":{"cursor":"c2","lines":1}}\n{"mark":{"cursor":"c2","lines":1,"complete":true,"more":false}}\n'


class Canned:
    """Answers in turn; an exception is raised, behind what came."""

    def __init__(self, *answers: Sequence[bytes | ClientError]) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []

    @contextmanager
    def stream(self, path: str, params: list[tuple[str, str]]) -> Iterator[Incoming]:
        assert path == "weir/v1/export"
        self.asked.append(dict(params))
        yield Incoming(self._chunks(self.answers.pop(0)), {})

    def _chunks(self, answer: Sequence[bytes | ClientError]) -> Iterator[bytes]:
        for each in answer:
            if isinstance(each, ClientError):
                raise each
            yield each


def run(canned: Canned) -> tuple[list[Any], list[float]]:
    waits: list[float] = []
    return list(export(cast("Connection", canned), WANTED, waits.append)), waits


def test_it_goes_on_from_the_last_mark_and_nothing_comes_twice() -> None:
    canned = Canned([BEGUN, Unreachable("gone")], [ServerRefused(503, "starting")], [REST])
    found, waits = run(canned)
    assert [part.records for part in found if isinstance(part, Part)] == [b"one\n", b"two\n", b""]
    assert [part.mark.lines for part in found if isinstance(part, Part)] == [1, 2, 2]
    assert [pause.reason for pause in found if isinstance(pause, Pause)] == ["gone", "starting"]
    assert [(asked.get("cursor"), asked["limit"]) for asked in canned.asked] == [(None, "5"), ("c1", "4"), ("c1", "4")]
    assert waits == [0.5, 1.0]


def test_an_answer_that_ends_without_its_mark_is_a_cut() -> None:
    found, _ = run(Canned([BEGUN], [REST]))
    assert [type(each) for each in found] == [Part, Pause, Part, Part]


def test_what_never_began_fails_at_once() -> None:
    with pytest.raises(ServerRefused):
        run(Canned([ServerRefused(503, "starting")]))


@pytest.mark.parametrize(
    "answers",
    [
        [[BEGUN], *[[Unreachable("gone")]] * TRIES],
        [[BEGUN], [ServerRefused(400, "no")]],
        [[b'{"mark":{"lines":0,"error":"damaged"}}\n']],
    ],
)
def test_what_cannot_go_on_is_cut_short(answers: list[list[bytes | ClientError]]) -> None:
    with pytest.raises(CutShort):
        run(Canned(*answers))
