from __future__ import annotations

import json

import pytest
import snappy

from bench.lines import APPS, Lines, all_lines
from bench.payloads import SPREAD, START, Payloads, in_streams, json_pushes, payloads, with_metadata
from gateway.push.push_messages import PushRequest


@pytest.fixture(scope="module")
def lines() -> Lines:
    return all_lines(100)


def entries(pushed: Payloads) -> list[tuple[str, int, bytes]]:
    return [
        (stream.labels.decode(), entry.timestamp.seconds * 10**9 + entry.timestamp.nanos, entry.line)
        for body in pushed.bodies
        for stream in PushRequest.FromString(snappy.uncompress(body)).streams
        for entry in stream.entries
    ]


def test_lines_are_the_same_in_every_run(lines: Lines) -> None:
    assert all_lines(100) == lines
    assert all_lines(100, seed=43) != lines


@pytest.mark.parametrize("per_request", [1, 7, 100])
def test_bodies_hold_every_line_once(lines: Lines, per_request: int) -> None:
    pushed = payloads(lines, per_request)
    found = entries(pushed)
    assert sorted(line for _, _, line in found) == sorted(line for app in APPS for line in lines[app])
    assert pushed.entries == len(found) == 300
    assert pushed.line_bytes == sum(len(line) for _, _, line in found)
    assert len({labels for labels, _, _ in found}) == 30
    assert len(pushed.bodies) == 3 * -(-100 // per_request)


def test_times_fill_the_fifty_minutes_to_the_last(lines: Lines) -> None:
    when = {ns for _, ns, _ in entries(payloads(lines, 10))}
    assert len(when) == 100
    assert min(when) > START
    assert max(when) == START + SPREAD


def test_the_same_lines_in_more_streams(lines: Lines) -> None:
    few, many = in_streams(lines, 3, 50), in_streams(lines, 300, 50)
    assert len({labels for labels, _, _ in entries(few)}) == 3
    assert len({labels for labels, _, _ in entries(many)}) == 300
    assert {entry[1:] for entry in entries(few)} == {entry[1:] for entry in entries(many)}


def test_metadata_is_two_ids_and_eight_keys(lines: Lines) -> None:
    pushed = with_metadata(lines["json"], 50)
    request = PushRequest.FromString(snappy.uncompress(pushed.bodies[0]))
    for stream in request.streams:
        for entry in stream.entries:
            names = [pair.name for pair in entry.structured_metadata]
            assert names[:2] == [b"trace_id", b"span_id"]
            assert len(set(names)) == 10


def test_json_pushes_hold_one_line_each(lines: Lines) -> None:
    bodies = [json.loads(body) for body in json_pushes(lines["json"], "x")]
    assert [body["streams"][0]["values"][0][1].encode() for body in bodies] == lines["json"]
    assert {body["streams"][0]["stream"]["app"] for body in bodies} == {"x"}
