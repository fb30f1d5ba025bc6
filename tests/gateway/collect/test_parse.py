"""What bytes of files become: lines, records of several lines, container logs; and how far they are taken."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.errors import BadArgument
from gateway.collect.containers import cri_rows
from gateway.collect.multiline import multiline
from gateway.collect.parse import CRI, DOCKER, TEXT, Parsed, form_of, parse
from gateway.collect.stamps import stamps_of

SECOND = 1_000_000_000


def texts(parsed: Parsed) -> list[tuple[str, str, int | None]]:
    found = []
    for each in parsed.entries:
        start = 0
        for row, length in enumerate(each.lengths.tolist()):
            ts = None if each.ts is None else int(each.ts[row])
            found.append((each.stream, each.text[start : start + length].decode(), ts))
            start += length
        assert start == len(each.text)
    return found


def lines(parsed: Parsed) -> list[str]:
    return [text for _, text, _ in texts(parsed)]


def test_whole_lines_are_taken_without_the_empty_ones_and_without_returns() -> None:
    found = parse(b"one\r\n\ntwo\r\r\nrest", TEXT, None, 0, is_last=False)
    assert (found.size, lines(found)) == (12, ["one", "two\r"])
    last = parse(b"one\r\n\ntwo\r\r\nrest", TEXT, None, 0, is_last=True)
    assert (last.size, lines(last)) == (16, ["one", "two\r", "rest"])


@given(st.lists(st.binary(max_size=6).filter(lambda line: b"\n" not in line), max_size=8), st.booleans())
def test_lines_are_those_that_splitting_gives(given_lines: list[bytes], ends: bool) -> None:
    chunk = b"\n".join(given_lines) + (b"\n" if ends else b"")
    found = parse(chunk, TEXT, None, 0, is_last=True)
    expected = [line.removesuffix(b"\r") for line in chunk.removesuffix(b"\n").split(b"\n")]
    if not chunk.endswith(b"\n"):  # a return at the end of what is not ended by a newline may be part of the line
        expected = [*expected[:-1], chunk.rpartition(b"\n")[2].removesuffix(b"\r")]
    taken = b"".join(each.text for each in found.entries)
    assert taken == b"".join(expected)
    assert [n for each in found.entries for n in each.lengths.tolist()] == [len(line) for line in expected if line]


def test_a_pattern_of_first_lines_makes_records_and_the_last_one_is_waited_for() -> None:
    text = b"2026 a\n  at x\n\n2026 b\n  at y\n"
    pattern = multiline(r"\d{4}")
    found = parse(text, TEXT, pattern, 0, is_last=False)
    assert (found.size, lines(found)) == (15, ["2026 a\n  at x"])
    settled = parse(text, TEXT, pattern, len(text), is_last=False)
    assert (settled.size, lines(settled)) == (len(text), ["2026 a\n  at x", "2026 b\n  at y"])


def test_records_are_cut_where_they_are_too_long() -> None:
    text = b"first\n" + b"more\n" * 5
    found = parse(text, TEXT, multiline("first", most_lines=3), 0, is_last=True)
    assert lines(found) == ["first\nmore\nmore", "more\nmore\nmore"]
    found = parse(text, TEXT, multiline("first", most_bytes=11), 0, is_last=True)
    assert lines(found) == ["first\nmore", "more\nmore\nmore", "more"]


def test_what_is_no_pattern_is_refused() -> None:
    with pytest.raises(BadArgument, match="no pattern"):
        multiline("(")


PYTHON = """INFO fine
ERROR bad
Traceback (most recent call last):
  File "x.py", line 1, in <module>
    f()
ValueError: no

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "y.py", line 2, in g
KeyError: 'x'
INFO next
"""
JAVA = """2026 INFO fine
2026 ERROR failed
java.lang.RuntimeException: x
\tat a.b.C(C.java:1)
Caused by: java.io.IOException: y
\t... 3 more
2026 INFO next
"""
GO = """start
panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.main()
\t/src/x.go:8 +0x1d

goroutine 7 [select]:
net/http.(*conn).serve(0xc000, {0x1})
\t/src/y.go:3 +0x2
created by net/http.(*Server).Serve
\t/src/z.go:9
exit status 2
again
"""


@pytest.mark.parametrize(("preset", "text"), [("python", PYTHON), ("java", JAVA), ("go", GO)])
def test_a_trace_belongs_to_the_line_before_it(preset: str, text: str) -> None:
    found = lines(parse(text.encode(), TEXT, multiline(preset), 0, is_last=True))
    assert len(found) == 3
    assert found[0] + "\n" + found[1] + "\n" + found[2] + "\n" == text
    assert "\n" not in found[0] + found[2]


@pytest.mark.parametrize(("preset", "text"), [("python", PYTHON), ("java", JAVA), ("go", GO)])
def test_traces_that_come_piece_by_piece_are_the_same_records(preset: str, text: str) -> None:
    data, found = b"", []
    for line in text.encode().splitlines(keepends=True):
        data += line
        parsed = parse(data, TEXT, multiline(preset), 0, is_last=False)
        found += lines(parsed)
        data = data[parsed.size :]
    found += lines(parse(data, TEXT, multiline(preset), 0, is_last=True))
    assert found == lines(parse(text.encode(), TEXT, multiline(preset), 0, is_last=True))


def docker(log: str, stream: str, second: int) -> str:
    return json.dumps({"log": log, "stream": stream, "time": f"2026-11-22T19:40:{second:02}.5Z"}) + "\n"


AT = int(datetime(2026, 11, 22, 19, 40, tzinfo=UTC).timestamp()) * SECOND + SECOND // 2


def test_docker_lines_have_their_time_and_stream_and_parts_are_joined() -> None:
    text = docker("one\n", "stdout", 1) + docker("par", "stdout", 2) + docker("err\n", "stderr", 3)
    text += docker("tial ü\n", "stdout", 4) + docker("open", "stdout", 5)
    found = parse(text.encode(), DOCKER, None, 0, is_last=False)
    assert found.size == len(text.encode()) - len(docker("open", "stdout", 5))
    assert sorted(texts(found)) == [
        ("stderr", "err", AT + 3 * SECOND),
        ("stdout", "one", AT + SECOND),
        ("stdout", "partial ü", AT + 2 * SECOND),
    ]


def test_a_line_behind_an_open_part_waits_with_it() -> None:
    text = docker("open", "stdout", 1) + docker("err\n", "stderr", 2)
    assert parse(text.encode(), DOCKER, None, 0, is_last=False).size == 0
    assert len(texts(parse(text.encode(), DOCKER, None, len(text), is_last=False))) == 2


def test_what_is_no_docker_line_is_kept_as_it_is() -> None:
    found = parse(("{broken\n" + docker("one\n", "stdout", 1)).encode(), DOCKER, None, 0, is_last=False)
    assert texts(found) == [("", "{broken", -1), ("stdout", "one", AT + SECOND)]


def test_traces_of_a_container_are_joined_within_their_stream() -> None:
    text = docker("2026 bad\n", "stderr", 1) + docker("fine\n", "stdout", 2) + docker("  at x\n", "stderr", 3)
    found = parse(text.encode(), DOCKER, multiline("java"), 0, is_last=True)
    assert sorted((stream, line) for stream, line, _ in texts(found)) == [
        ("stderr", "2026 bad\n  at x"),
        ("stdout", "fine"),
    ]


def test_cri_lines_have_their_time_and_stream_and_parts_are_joined() -> None:
    text = (
        "2026-11-22T19:40:00.5Z stdout F one two\n"
        "2026-11-22T20:40:01.5+01:00 stdout P par\n"
        "2026-11-22T19:40:02.5Z stderr F:x err\n"
        "bad line\n"
        "2026-11-22T19:40:03.500000000Z stdout F tial\n"
        "2026-11-22T19:40:04.5Z stdout F \n"
    )
    found = parse(text.encode(), CRI, None, 0, is_last=False)
    assert sorted(texts(found)) == [
        ("", "bad line", -1),
        ("stderr", "err", AT + 2 * SECOND),
        ("stdout", "one two", AT),
        ("stdout", "partial", AT + SECOND),
    ]


@given(st.binary(max_size=60))
def test_no_bytes_are_too_strange_for_a_container_log(data: bytes) -> None:
    for form in (CRI, DOCKER):
        assert parse(data, form, None, 0, is_last=True).size == len(data)
    cri_rows(data + b"\n")


def test_forms_are_told_by_the_first_line() -> None:
    assert form_of(docker("x\n", "stdout", 1).encode().strip()) == DOCKER
    assert form_of(b"2026-11-22T19:40:00.5Z stdout F one") == CRI
    assert [form_of(line) for line in (b"", b"{}", b"2026 x y z", b'{"log":"x"}')] == [TEXT] * 4


@given(st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 31)), st.integers(0, 999_999_999), st.integers(0, 9))  # noqa: DTZ001 - UTC
def test_times_are_those_of_the_calendar(when: datetime, nanos: int, digits: int) -> None:
    fraction = f".{nanos:09d}"[: digits + 1] if digits else ""
    expected = int(when.replace(microsecond=0, tzinfo=UTC).timestamp()) * SECOND
    expected += int(fraction[1:].ljust(9, "0")) if fraction else 0
    text = f"{when:%Y-%m-%dT%H:%M:%S}{fraction}"
    found = stamps_of([f"{text}Z", f"{text}+00:00", f"{text}-01:30", text, f"{text}Zx"]).tolist()
    assert found == [expected, expected, expected + 5400 * SECOND, -1, -1]
