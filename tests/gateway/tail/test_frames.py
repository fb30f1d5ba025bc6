"""Frames: Loki's JSON, whatever is in the lines; cut by size; notices of what was dropped."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.query.gojson import labels_json, line_json
from gateway.tail.frames import (
    FRAME_BYTES,
    Dropped,
    Elements,
    Form,
    Shape,
    encoded,
    ending,
    frame_of,
    frames_of,
    joined,
)
from logql import EntryColumns, EntryLabels
from storage.batch import texts

CATEGORIZED = Form(Shape.CATEGORIZED, ("categorize-labels", "x"))
TOGETHER = Form(Shape.TOGETHER)
SETS = (
    EntryLabels((("app", "a"),), ()),
    EntryLabels((("app", "b"),), (("trace", "<1>"),)),
    EntryLabels((("app", 'c"\n\u2028'),), (("k", "v"),), (("level", ""),)),
)
rows = st.lists(st.tuples(st.integers(0, 2**62), st.binary(max_size=20), st.integers(0, 2)), min_size=1, max_size=12)


def columns(some: list[tuple[int, bytes, int]]) -> EntryColumns:
    return EntryColumns(
        np.array([ts for ts, _, _ in some], np.int64),
        np.arange(len(some)),
        texts(line for _, line, _ in some),
        np.array([labels for _, _, labels in some], np.int64),
        SETS,
    )


def made(some: list[tuple[int, bytes, int]], form: Form = TOGETHER, number: int = 0) -> Elements:
    return encoded(columns(some), form, np.full(len(some), number, np.int64))


@given(rows)
def test_each_entry_is_an_element_of_streams(some: list[tuple[int, bytes, int]]) -> None:
    body = b",".join(
        b'{"stream":%b,"values":[["%d",%b]]}' % (labels_json(SETS[labels].together), ts, line_json(line))
        for ts, line, labels in some
    )
    assert frame_of(made(some), TOGETHER).text.encode() == b'{"streams":[%b]}' % body


@given(rows)
def test_categorized_labels_stand_beside_the_line(some: list[tuple[int, bytes, int]]) -> None:
    text = frame_of(made(some, CATEGORIZED), CATEGORIZED).text
    assert text.endswith(',"encodingFlags":["categorize-labels","x"]}')
    shown: list[dict[str, Any]] = json.loads(text)["streams"]
    for stream, (ts, _, labels) in zip(shown, some, strict=True):
        wanted = SETS[labels]
        assert stream["stream"] == dict(wanted.stream)
        third = {"structuredMetadata": dict(wanted.metadata), "parsed": dict(wanted.parsed)}
        assert stream["values"][0][::2] == [str(ts), {name: kept for name, kept in third.items() if kept}]


def test_which_labels_are_shown() -> None:
    assert Form.of((), bare=True, legacy=False) == Form(Shape.STREAM)
    assert Form.of(("x",), bare=True, legacy=False) == Form(Shape.STREAM, ("x",))
    assert Form.of((), bare=False, legacy=False) == TOGETHER
    assert Form.of(["categorize-labels", "x"], bare=True, legacy=False) == CATEGORIZED
    assert Form.of(["categorize-labels"], bare=False, legacy=True) == Form(Shape.TOGETHER, (), legacy=True)
    assert [Form(Shape.STREAM).shown(labels) for labels in SETS] == [labels.stream for labels in SETS]


def test_frames_are_cut_by_bytes_and_have_an_entry_at_least() -> None:
    sizes = [100_000, 100_000, 100_000, 400_000, 10, 10]
    some = [(place, b"x" * size, 0) for place, size in enumerate(sizes)]
    frames = list(frames_of(made(some), TOGETHER))
    assert [len(frame.entries) for frame in frames] == [2, 1, 1, 2]
    assert [frame.size < FRAME_BYTES + 100 for frame in frames] == [True, True, False, True]
    lines = [value["values"][0][1] for frame in frames for value in json.loads(frame.text)["streams"]]
    assert [len(line) for line in lines] == sizes


def test_parts_are_joined_by_time_and_keep_their_commits() -> None:
    whole = joined([made([(1, b"a", 0), (5, b"b", 1)], number=3), made([(0, b"c", 2), (5, b"d", 0)], number=4)])
    text = frame_of(whole, TOGETHER).text
    assert [value["values"][0] for value in json.loads(text)["streams"]] == [
        ["0", "c"],
        ["1", "a"],
        ["5", "b"],
        ["5", "d"],
    ]
    assert whole.number.tolist() == [4, 3, 3, 4]
    assert [whole.shown[labels][0][1] for labels in whole.labels.tolist()] == ['c"\n\u2028', "a", "b", "a"]
    frame = frame_of(whole, TOGETHER)
    assert (frame.first, frame.last) == (3, 4)


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        (TOGETHER, ',"dropped_entries":[{"timestamp":"1000000000","labels":{"app":"a"}}]}'),
        (
            CATEGORIZED,
            (
                ',"dropped_entries":[{"timestamp":"1000000000","labels":{"app":"a"}}]'
                ',"encodingFlags":["categorize-labels","x"]}'
            ),
        ),
        (
            Form(Shape.TOGETHER, (), legacy=True),
            ',"dropped_entries":[{"timestamp":"1970-01-01T00:00:01Z","labels":"{app=\\"a\\"}"}]}',
        ),
    ],
)
def test_what_was_dropped_is_told_behind_the_entries(form: Form, wanted: str) -> None:
    dropped = [Dropped(1, 1_000_000_000, (("app", "a"),))]
    assert ending(form, dropped) == wanted
    frame = frame_of(made([(1, b"x", 0)], form), form)
    assert frame.told(dropped, form) == frame.text[: -len(ending(form))] + wanted
    json.loads(frame.told(dropped, form))
