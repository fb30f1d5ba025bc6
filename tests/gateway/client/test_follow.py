"""A tail that comes back: nothing twice, nothing left out that the server still has, an end when it is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.client.errors import ClientError, ServerRefused, Unreachable
from gateway.client.follow import FIRST_WAIT, LONGEST_WAIT, TRIES, Pause, Plan, follow
from gateway.client.lines import Line
from gateway.client.tail import Broken, Tailed, decode_frame
from gateway.client.times import SECOND

NOW = 1_787_400_000 * SECOND
HOUR = 3600 * SECOND


def line(text: str, ts: int = NOW) -> Line:
    return Line(ts, (("app", "a"),), text)


class Server:
    """Answers each attempt with what comes next: messages, and how it ends (None: in peace)."""

    def __init__(self, *attempts: tuple[list[list[Line]], ClientError | None]) -> None:
        self._attempts = iter(attempts)
        self.asked: list[tuple[int, int]] = []
        self.slept: list[float] = []

    def open(self, start: int, limit: int) -> Iterator[Tailed]:
        self.asked.append((start, limit))
        messages, end = next(self._attempts)
        if not isinstance(end, Unreachable) or isinstance(end, Broken):
            yield Tailed([], [])
        for lines in messages:
            yield Tailed(lines, [])
        if end is not None:
            raise end

    def lines(self) -> list[str]:
        made = follow(self.open, Plan(NOW - HOUR, 30, 1000), now=lambda: NOW + SECOND, sleep=self.slept.append)
        return [each.text for one in made if isinstance(one, Tailed) for each in one.lines]


def test_it_begins_anew_a_little_before_and_leaves_out_what_was_seen() -> None:
    early, same = line("early", NOW - 3 * SECOND), line("same")
    server = Server(
        ([[early, line("a"), same, same]], Broken("gone")),
        ([[line("late", NOW - SECOND), line("a"), same, same, same, line("b", NOW + 1)]], None),
    )
    assert server.lines() == ["early", "a", "same", "same", "late", "same", "b"]
    assert server.asked == [(NOW - HOUR, 30), (NOW - 2 * SECOND, 1000)]
    assert server.slept == [FIRST_WAIT]


def test_a_line_of_the_future_does_not_hide_those_that_come_before_its_time() -> None:
    server = Server(([[line("future", NOW + 600 * SECOND)]], Broken("gone")), ([[line("x", NOW + 2)]], None))
    assert server.lines() == ["future", "x"]
    assert server.asked[1][0] <= NOW


def test_it_waits_longer_each_time_and_gives_up() -> None:
    server = Server(([[line("a")]], Broken("gone")), *(([], Unreachable("nobody there")) for _ in range(TRIES)))
    with pytest.raises(Unreachable, match="nobody there"):
        server.lines()
    assert server.slept[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert (len(server.slept), max(server.slept)) == (TRIES, LONGEST_WAIT)


def test_a_server_that_starts_is_waited_for() -> None:
    server = Server(([], Broken("gone")), ([], ServerRefused(503, "not ready")), ([[line("a")]], None))
    assert server.lines() == ["a"]


@pytest.mark.parametrize(
    "attempts",
    [
        [([], Unreachable("nobody there"))],
        [([], ServerRefused(400, "parse error"))],
        [([[line("a")]], Broken("gone")), ([], ServerRefused(401, "no org id"))],
        [([[line("a")]], ServerRefused(1011, "only log selector is supported"))],
    ],
)
def test_what_cannot_get_better_is_an_error(attempts: list[tuple[list[list[Line]], ClientError | None]]) -> None:
    last = attempts[-1][1]
    assert last is not None
    with pytest.raises(type(last), match=str(last)):
        Server(*attempts).lines()


def test_a_pause_is_told_before_it_is_made() -> None:
    server = Server(([[line("a")]], Broken("gone")), ([[line("b")]], None))
    told: list[object] = []
    made = follow(server.open, Plan(NOW, 1, 1), now=lambda: NOW, sleep=lambda _: told.append("slept"))
    told.extend(one if isinstance(one, Pause) else "lines" for one in made)
    assert told == ["lines", Pause(FIRST_WAIT, "gone"), "slept", "lines"]


@pytest.mark.parametrize(
    ("text", "lines", "dropped"),
    [
        ('{"streams":[{"stream":{"app":"a"},"values":[["1","x"],["2","y"]]}]}', [line("x", 1), line("y", 2)], []),
        (
            '{"streams":[{"stream":{"app":"a"},"values":[["1","x",{"structuredMetadata":{"b":"2"},"parsed":{"c":""}}]]}]}',
            [Line(1, (("app", "a"), ("b", "2"), ("c", "")), "x")],
            [],
        ),
        (
            '{"streams":null,"dropped_entries":[{"timestamp":"3","labels":{"app":"a"}}]}',
            [],
            [(3, (("app", "a"),))],
        ),
        ('{"streams":[],"dropped_entries":null,"encodingFlags":["x"]}', [], []),
    ],
)
def test_messages_are_read(text: str, lines: list[Line], dropped: list[object]) -> None:
    assert decode_frame(text) == Tailed(lines, dropped)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "[]", '{"streams":[{"stream":{},"values":[["x","y"]]}]}', '{"streams":3}'])
def test_what_is_no_message_is_a_bad_answer(text: str) -> None:
    with pytest.raises(ClientError):
        decode_frame(text)
