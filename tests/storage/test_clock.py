from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from storage.clock import PATIENCE, TOLERANCE, SteadyClock
from tests.storage.entries import DAY, HOUR, NOON

MINUTE = HOUR // 60


class Times:
    """A time of day and a time of running, which a test sets."""

    def __init__(self) -> None:
        self.wall = NOON
        self.running = 0

    def pass_by(self, ns: int, jump: int = 0) -> None:
        self.running += ns
        self.wall += ns + jump

    def clock(self, folder: Path) -> SteadyClock:
        return SteadyClock(folder / "clock", lambda: self.wall, lambda: self.running)


def test_it_goes_with_the_time_of_day(tmp_path: Path) -> None:
    times = Times()
    clock = times.clock(tmp_path)
    for jump in (0, 5 * MINUTE, -5 * MINUTE, TOLERANCE, -TOLERANCE):
        times.pass_by(HOUR, jump)
        assert clock.now() == times.wall
        assert clock.behind == 0


@pytest.mark.parametrize("jump", [TOLERANCE + 1, DAY, 365 * DAY])
def test_a_jump_ahead_is_not_followed(tmp_path: Path, jump: int) -> None:
    times = Times()
    clock = times.clock(tmp_path)
    times.pass_by(HOUR)
    assert clock.now() == NOON + HOUR
    times.pass_by(HOUR, jump)
    for hours in range(2, 72):
        assert clock.now() == NOON + hours * HOUR
        assert clock.behind == jump
        times.pass_by(HOUR)


def test_a_jump_back_is_followed_at_once_and_leaves_no_trace(tmp_path: Path) -> None:
    times = Times()
    clock = times.clock(tmp_path)
    times.pass_by(0, -365 * DAY)
    assert clock.now() == times.wall
    assert clock.behind == 0
    times.pass_by(HOUR, 365 * DAY)
    assert clock.now() == times.wall == NOON + HOUR


def test_a_jump_that_is_taken_back_leaves_no_trace(tmp_path: Path) -> None:
    times = Times()
    clock = times.clock(tmp_path)
    times.pass_by(0, DAY)
    clock.now()
    times.pass_by(HOUR, -DAY)
    assert clock.now() == times.wall
    times.pass_by(PATIENCE, DAY)
    assert clock.now() == NOON + HOUR + PATIENCE, "what was over counts again"


def test_a_jump_that_stays_is_believed_at_last(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = Times()
    clock = times.clock(tmp_path)
    times.pass_by(0, 365 * DAY)
    with caplog.at_level(logging.WARNING):
        clock.now()
        for _ in range(72):
            times.pass_by(HOUR)
            clock.now()
    assert clock.now() == times.wall
    assert clock.behind == 0
    assert [record.getMessage().split(":")[0].split(",")[0] for record in caplog.records] == [
        "the clock is 31536000 s ahead of the time that this server should have",
        "the clock",
    ]


def test_a_restart_knows_the_time(tmp_path: Path) -> None:
    times = Times()
    times.clock(tmp_path).now()
    times.pass_by(MINUTE)
    assert times.clock(tmp_path).now() == times.wall
    times.pass_by(HOUR)
    times.wall += 365 * DAY
    again = times.clock(tmp_path)
    assert again.now() == NOON + MINUTE
    times.pass_by(HOUR)
    assert again.now() == NOON + MINUTE + HOUR


def test_patience_goes_on_over_restarts(tmp_path: Path) -> None:
    times = Times()
    times.clock(tmp_path).now()
    times.wall += 365 * DAY
    for _ in range(36):
        clock = times.clock(tmp_path)
        clock.now()
        times.pass_by(HOUR)
        assert clock.now() < times.wall
        times.pass_by(HOUR)
        clock.now()
    assert times.clock(tmp_path).now() == times.wall


def test_time_between_runs_is_no_running(tmp_path: Path) -> None:
    """A server that did not run for a week: what expired meanwhile goes when the clock has stood the test."""
    times = Times()
    times.clock(tmp_path).now()
    times.pass_by(7 * DAY)
    clock = times.clock(tmp_path)
    assert clock.now() == NOON
    for _ in range(72):
        assert clock.now() < times.wall
        times.pass_by(HOUR)
    assert clock.now() == times.wall


def test_a_clock_that_nobody_saw_is_not_believed_for_its_age(tmp_path: Path) -> None:
    times = Times()
    clock = times.clock(tmp_path)
    clock.now()
    for _ in range(3):
        times.pass_by(PATIENCE, DAY)
        assert clock.now() < times.wall


def test_the_first_start_believes_the_clock(tmp_path: Path) -> None:
    assert Times().clock(tmp_path).now() == NOON


@pytest.mark.parametrize("text", ["", "{", "[]", '{"time": "x", "off_for": 0}', '{"time": 1}', "\x00" * 40])
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "clock").write_text(text)
    times = Times()
    assert times.clock(tmp_path).now() == times.wall
    assert json.loads((tmp_path / "clock").read_text())["time"] == NOON


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    times = Times()
    clock = SteadyClock(tmp_path / "gone" / "clock", lambda: times.wall, lambda: times.running)
    assert clock.now() == NOON


def test_another_jump_while_it_is_off_begins_the_count_anew(tmp_path: Path) -> None:
    times = Times()
    clock = times.clock(tmp_path)
    times.pass_by(HOUR)
    clock.now()
    times.pass_by(0, 8 * HOUR)  # as after a stop
    for _ in range(71):
        times.pass_by(HOUR)
        clock.now()
    times.pass_by(HOUR, 365 * DAY)
    for _ in range(60):
        assert clock.now() < NOON + 20 * DAY
        times.pass_by(HOUR)


def test_a_stop_each_night_does_not_keep_it_from_being_believed(tmp_path: Path) -> None:
    times = Times()
    for _ in range(8):
        clock = times.clock(tmp_path)
        for _ in range(12):
            clock.now()
            times.pass_by(HOUR)
        times.wall += 12 * HOUR
    clock = times.clock(tmp_path)
    assert clock.now() >= times.wall - 2 * DAY
