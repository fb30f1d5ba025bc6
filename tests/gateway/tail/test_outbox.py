"""An outbox keeps so much and no more, and says what it did not keep."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np

from gateway.tail.figures import DropReason, TailFigures
from gateway.tail.frames import Form, Frame, Shape, encoded, frame_of
from gateway.tail.outbox import MOST_TOLD, QUEUE_BYTES, Outbox
from logql import EntryColumns, EntryLabels
from storage.batch import texts

FORM = Form(Shape.TOGETHER)


def frame(*numbers: int, size: int = 1) -> Frame:
    """A frame with an entry of each commit; its time is the commit's number."""
    own = np.array(numbers, np.int64)
    lines = texts(b"%d" % number * size for number in numbers)
    labels = [EntryLabels((("app", "a"),), ())]
    entries = EntryColumns(own, np.arange(len(own)), lines, np.zeros(len(own), np.int64), labels)
    return frame_of(encoded(entries, FORM, own), FORM)


def outbox() -> tuple[Outbox, TailFigures]:
    figures = TailFigures()
    return Outbox(FORM, figures), figures


def drop(box: Outbox, *numbers: int) -> None:
    box.drop(frame(*numbers).entries, np.ones(len(numbers), np.int64), DropReason.BEHIND)


async def taken(box: Outbox) -> list[dict[str, Any]]:
    found = []
    while True:
        try:
            async with asyncio.timeout(0.01):
                found.append(json.loads(await box.next()))
        except TimeoutError:
            return found


def lines(frames: list[dict[str, Any]]) -> list[str]:
    return [stream["values"][0][1] for frame in frames for stream in frame["streams"]]


def test_what_the_reader_has_already_is_left_out() -> None:
    box, figures = outbox()
    for made in (frame(1, 2), frame(2, 3), frame(4)):
        box.put(made)
    box.begin_after(2)
    box.put(frame(1))
    box.put(frame(5, 2))
    assert lines(asyncio.run(taken(box))) == ["3", "4", "5"]
    assert figures.lines == 3
    assert not figures.dropped


def test_what_does_not_fit_is_dropped_and_told_once() -> None:
    box, figures = outbox()
    box.begin_after(0)
    size = QUEUE_BYTES // 4
    for number in range(1, 8):
        box.put(frame(number, size=size))
    frames = asyncio.run(taken(box))
    assert [line[0] for line in lines(frames)] == ["1", "2", "3"]
    assert frames[0]["dropped_entries"] == [
        {"timestamp": str(number), "labels": {"app": "a"}} for number in range(4, 8)
    ]
    assert not any("dropped_entries" in each for each in frames[1:])
    assert figures.dropped == {DropReason.SLOW_READER: 4}


def test_it_goes_on_when_its_reader_does() -> None:
    async def main() -> None:
        box, _ = outbox()
        box.begin_after(0)
        for number in range(1, 8):
            box.put(frame(number, size=QUEUE_BYTES // 4))
        await taken(box)
        box.put(frame(9))
        assert lines(await taken(box)) == ["9"]

    asyncio.run(main())


def test_a_frame_that_alone_is_too_large_is_sent() -> None:
    box, _ = outbox()
    box.begin_after(0)
    box.put(frame(1, size=2 * QUEUE_BYTES))
    assert len(lines(asyncio.run(taken(box)))) == 1


def test_so_many_dropped_entries_are_named_and_all_counted() -> None:
    box, figures = outbox()
    box.begin_after(0)
    for _ in range(3):
        drop(box, *range(1, 701))
    frames = asyncio.run(taken(box))
    assert [each["streams"] for each in frames] == [[]]
    assert len(frames[0]["dropped_entries"]) == MOST_TOLD
    assert figures.dropped == {DropReason.BEHIND: 2100}


def test_what_was_dropped_but_read_by_then_is_not_told() -> None:
    box, _ = outbox()
    drop(box, 1, 2, 3)
    box.begin_after(2)
    frames = asyncio.run(taken(box))
    assert [each["timestamp"] for each in frames[0]["dropped_entries"]] == ["3"]


def timestamps(frames: list[dict[str, Any]]) -> list[int]:
    return [int(each["timestamp"]) for frame in frames for each in frame.get("dropped_entries", [])]


def test_what_comes_after_a_snapshot_is_sent_or_told_however_much_came_before() -> None:
    for begins in (0, 40, 60):
        box, _ = outbox()
        for number in range(1, 61):
            if number == begins + 1:
                box.begin_after(40)
            box.put(frame(number, size=100_000 // len(str(number))))
        box.begin_after(40)
        frames = asyncio.run(taken(box))
        sent = [int(stream["values"][0][0]) for each in frames for stream in each["streams"]]
        assert sorted(sent + timestamps(frames)) == list(range(41, 61))
        assert bool(sent) == (begins < 60)


def test_drops_before_a_snapshot_do_not_hide_those_after_it() -> None:
    box, _ = outbox()
    for first in range(1, 3001, 100):
        drop(box, *range(first, first + 100))
    box.begin_after(2950)
    assert timestamps(asyncio.run(taken(box))) == list(range(2951, 3001))


def test_a_second_snapshot_moves_the_beginning_on() -> None:
    box, figures = outbox()
    box.begin_after(2)
    for number in range(1, 7):
        box.put(frame(number))
    drop(box, 2, 4, 7)
    box.begin_after(4)
    drop(box, 4)
    frames = asyncio.run(taken(box))
    assert lines(frames) == ["5", "6"]
    assert timestamps(frames) == [7]
    assert figures.dropped == {DropReason.BEHIND: 2}
