"""What files become: times, batches, JSON of every kind; cuts that depend on nothing but where they begin."""

from __future__ import annotations

import gzip
import io
import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.connection import Posted
from gateway.client.errors import BadArgument, ServerRefused, Unreachable
from gateway.client.importing import (
    Fields,
    Figures,
    Format,
    Options,
    Reading,
    Rejected,
    Row,
    Sender,
    find_sources,
    import_source,
    preview,
    time_rule,
)
from gateway.client.importing.source import BadSource, pieces
from gateway.client.importing.when import choose_rule, known_rules, read_time

SECOND = 1_000_000_000
LATEST = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * SECOND


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000) * 1000


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2024-05-06T07:08:09Z up", "2024-05-06T07:08:09+00:00"),
        ("[2024-05-06 07:08:09,123] up", "2024-05-06T07:08:09.123+00:00"),
        ("2024-05-06 07:08:09.5 +0200 up", "2024-05-06T05:08:09.5+00:00"),
        ("2024-05-06T07:08:09-03:30", "2024-05-06T10:38:09+00:00"),
        ('10.0.0.1 - - [06/May/2024:07:08:09 +0200] "GET /"', "2024-05-06T05:08:09+00:00"),
        ("2024/05/06 07:08:09 [error] 7#7: no", "2024-05-06T07:08:09+00:00"),
        ("Jan  4 07:08:09 host sshd[1]: no", "2026-01-04T07:08:09+00:00"),
        ("<13>Dec 24 07:08:09 host sshd[1]: no", "2025-12-24T07:08:09+00:00"),
        ("Feb 29 07:08:09 host sshd[1]: no", None),
        ("1714979289 up", "2024-05-06T07:08:09+00:00"),
        ('{"ts":1714979289.25,"msg":"up"}', "2024-05-06T07:08:09.25+00:00"),
        ("ts=1714979289123 up", "2024-05-06T07:08:09.123+00:00"),
        ("2024-13-06 07:08:09 no month", None),
        ("2024-05-06 only a day", None),
        ("id 17149792891 is no time", None),
        ("", None),
    ],
)
def test_the_time_of_a_line_is_found(line: str, expected: str | None) -> None:
    rules = known_rules(UTC, LATEST)
    found = [at for rule in rules if (at := rule.find(line)) is not None]
    assert found == ([] if expected is None else [ns(expected)])
    chosen = choose_rule(rules, [line])
    assert (chosen is None) == (expected is None)


def test_a_zone_holds_where_a_line_says_none() -> None:
    (rule, *_) = known_rules(ZoneInfo("Europe/Berlin"), LATEST)
    assert rule.find("2024-07-01 12:00:00") == ns("2024-07-01T10:00:00+00:00")
    assert rule.find("2024-07-01 12:00:00Z") == ns("2024-07-01T12:00:00+00:00")


@pytest.mark.parametrize(
    ("form", "line", "expected"),
    [
        ("%d.%m.%Y %H:%M:%S", "x 06.05.2024 07:08:09 y", "2024-05-06T07:08:09+00:00"),
        ("%d.%m.%Y %H:%M:%S,%f", "06.05.2024 07:08:09,25 y", "2024-05-06T07:08:09.25+00:00"),
        ("%Y%m%d-%H%M%S.%f%z", "20240506-070809.123456+0100", "2024-05-06T06:08:09.123456+00:00"),
        ("[%b %d %Y %I:%M:%S %p]", "[May 06 2024 07:08:09 PM]", "2024-05-06T19:08:09+00:00"),
        ("%F %T", "2024-05-06 07:08:09", "2024-05-06T07:08:09+00:00"),
        ("%s", "1714979289", "2024-05-06T07:08:09+00:00"),
        ("100%% %F %T", "100% 2024-05-06 07:08:09", "2024-05-06T07:08:09+00:00"),
        ("%d.%m.%Y %H:%M:%S", "99.99.2024 07:08:09", None),
    ],
)
def test_a_time_format_is_that_of_strptime(form: str, line: str, expected: str | None) -> None:
    assert time_rule(form, UTC).find(line) == (None if expected is None else ns(expected))


@pytest.mark.parametrize("form", ["", "no directive", "%Q", "%f %f"])
def test_a_format_that_says_no_time_is_refused(form: str) -> None:
    with pytest.raises(BadArgument, match="--time-format"):
        time_rule(form, UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1714979289, 1714979289 * SECOND),
        (1714979289123, 1714979289123 * 10**6),
        ("1714979289123456", 1714979289123456 * 10**3),
        ("1714979289123456789", 1714979289123456789),
        (1714979289.5, 1714979289 * SECOND + SECOND // 2),
        ("1714979289.123456789", 1714979289123456789),
        ("2024-05-06T07:08:09.123456789Z", 1714979289123456789),
        (True, None),
        ("soon", None),
        ("9" * 5000, None),
        (1e300, None),
        (None, None),
    ],
)
def test_a_field_says_its_time_in_any_unit(value: object, expected: int | None) -> None:
    assert read_time(value) == expected


@given(
    st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=40),
    st.integers(1, 60),
    st.integers(1, 7),
    st.booleans(),
    st.data(),
)
def test_pieces_are_the_bytes_and_begin_anew_at_any_of_their_ends(
    lines: list[bytes], most_bytes: int, most_lines: int, ended: bool, data: st.DataObject
) -> None:
    whole = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    stop = data.draw(st.none() | st.integers(0, len(whole)))
    cut = list(pieces(io.BytesIO(whole), 0, stop, most_bytes, most_lines))
    assert b"".join(cut) == whole[:stop]
    assert all(piece.endswith(b"\n") for piece in cut[:-1])
    assert all(piece.count(b"\n") <= most_lines for piece in cut)
    at = data.draw(st.integers(0, len(cut)))
    done = len(b"".join(cut[:at]))
    again = io.BytesIO(whole)
    again.seek(done)
    assert list(pieces(again, done, stop, most_bytes, most_lines)) == cut[at:]


def rows_of(path: Path, reading: Reading) -> tuple[list[Row], list[Rejected]]:
    (source,) = find_sources([str(path)])
    return preview(source, reading, 1_000_000)


def test_lines_of_one_time_stay_apart_and_a_trace_has_the_time_of_its_line(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(
        b"2024-05-06 07:08:09 boom\r\n  at main\r\n\r\n2024-05-06 07:08:09 boom\r\n2024-05-06 07:08:10 \xff"
    )
    rows, rejected = rows_of(path, Reading(labels={"app": "a"}))
    base = 1714979289 * SECOND
    assert rejected == []
    assert [value for _, value in rows] == [
        [str(base), "2024-05-06 07:08:09 boom"],
        [str(base + 1), "  at main"],
        [str(base + 2), "2024-05-06 07:08:09 boom"],
        [str(base + SECOND), "2024-05-06 07:08:10 \ufffd"],
    ]
    assert {labels for labels, _ in rows} == {(("app", "a"), ("filename", str(path)))}


def test_lines_without_any_time_have_the_files(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("one\ntwo\n")
    at = path.stat().st_mtime_ns
    rows, _ = rows_of(path, Reading(file_label="", labels={"a": "b"}))
    assert rows == [((("a", "b"),), [str(at), "one"]), ((("a", "b"),), [str(at + 1), "two"])]
    rows, _ = rows_of(path, Reading(file_times=False))
    assert int(rows[0][1][0]) >= at


LABELS = (("app", "web"),)
ENTRY = (LABELS, ["1714979289000000001", "a line"])
WITH_METADATA = (LABELS, ["1714979289000000001", "a line", {"trace": "7"}])
STREAMS = [{"stream": {"app": "web"}, "values": [["1714979289000000001", "a line"]]}]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"ts": "1714979289000000001", "labels": {"app": "web"}, "line": "a line"}, [ENTRY]),
        (
            {
                "ts": "1714979289000000001",
                "labels": {"app": "web"},
                "structuredMetadata": {"trace": "7"},
                "parsed": {"x": "y"},
                "line": "a line",
            },
            [WITH_METADATA],
        ),
        ({"labels": {"app": "web"}, "line": "a line", "timestamp": "2024-05-06T07:08:09.000000001Z"}, [ENTRY]),
        ({"streams": STREAMS}, [ENTRY]),
        ({"status": "success", "data": {"resultType": "streams", "result": STREAMS, "stats": {}}}, [ENTRY]),
        (
            {
                "data": {
                    "resultType": "streams",
                    "result": [
                        {
                            "stream": {"app": "web"},
                            "values": [
                                ["1714979289000000001", "a line", {"structuredMetadata": {"trace": "7"}}],
                                ["1714979289000000001", "a line", {"parsed": {"trace": "7"}}],
                                ["1714979289000000001", "a line", {}],
                            ],
                        }
                    ],
                }
            },
            [WITH_METADATA, ENTRY, ENTRY],
        ),
        ({"mark": {"complete": True}}, []),
    ],
)
@pytest.mark.parametrize("packed", ["", "gzip", "zstd"])
def test_json_of_logs_is_known_as_it_is(
    tmp_path: Path, record: dict[str, Any], expected: list[Row], packed: str
) -> None:
    data = json.dumps(record).encode() + b"\n" + json.dumps(record).encode()
    if packed == "gzip":
        data = gzip.compress(data[:20]) + gzip.compress(data[20:])
    elif packed == "zstd":
        data = zstandard.compress(data[:20]) + zstandard.compress(data[20:])
    path = tmp_path / "any.name"
    path.write_bytes(data)
    assert rows_of(path, Reading()) == (expected * 2, [])


def test_a_document_on_many_lines_is_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "push.json"
    path.write_text(json.dumps({"streams": STREAMS * 3}, indent=2))
    assert rows_of(path, Reading(labels={"host": "h"})) == (
        [((("app", "web"), ("host", "h")), ["1714979289000000001", "a line"])] * 3,
        [],
    )
    path.write_text('{\n"streams": [')
    with pytest.raises(BadArgument, match="is no JSON document with log lines"):
        rows_of(path, Reading())
    path.write_text(json.dumps({"streams": [*STREAMS, {"stream": {}}]}, indent=2))
    with pytest.raises(BadArgument, match="a stream has no values"):
        rows_of(path, Reading())


def test_json_that_is_just_a_log_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text('{"level":"info","time":"2024-05-06T07:08:09Z","msg":"up"}\n')
    rows, _ = rows_of(path, Reading(file_label=""))
    assert rows == [((), ["1714979289000000000", '{"level":"info","time":"2024-05-06T07:08:09Z","msg":"up"}'])]


def test_fields_are_what_the_flags_say_and_what_has_none_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    lines = [
        '{"at":1714979289,"m":"up","svc":"a","n":{"x":1}}',
        '{"m":"no time"}',
        "no JSON",
        "[" * 100_000,
        '{"at":"soon","m":""}',
    ]
    path.write_text("\n".join(lines) + "\n")
    fields = Fields("at", "m", ("svc",), ("n",))
    rows, rejected = rows_of(path, Reading(file_label="", fields=fields))
    assert rows == [((("svc", "a"),), ["1714979289000000000", "up", {"n": '{"x":1}'}])]
    assert [each.text for each in rejected] == lines[1:]
    assert rejected[0].reason == "it has no field 'at' with a time"
    rows, _ = rows_of(path, Reading(file_label="", fields=Fields("at")))
    assert rows == [((), ["1714979289000000000", lines[0]])]


def test_a_packed_file_that_is_cut_off_is_an_error_after_what_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "app.log.gz"
    path.write_bytes(gzip.compress(b"".join(b"%d line\n" % number for number in range(10_000)))[:-100])
    (source,) = find_sources([str(path)])
    with pytest.raises(BadSource, match=r"cannot read .* any further"):
        preview(source, Reading(), 1_000_000)


def test_folders_are_walked_in_order_and_states_are_not_logs(tmp_path: Path) -> None:
    for name in ("b/2.log", "a.log", "b/1.log", "a.log.weir-import"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = find_sources([str(tmp_path), str(tmp_path / "a.log")])
    assert [Path(each.name).relative_to(tmp_path).as_posix() for each in found] == ["a.log", "b/1.log", "b/2.log"]
    with pytest.raises(BadArgument, match="cannot read"):
        find_sources([str(tmp_path / "none")])


class Store:
    """A server that remembers what it was sent, and refuses what it is told to."""

    def __init__(self) -> None:
        self.batches: dict[str, bytes] = {}
        self.stored: list[str] = []
        self.refuses: set[str] = set()
        self.answers: list[Posted | Unreachable] = []
        self.dies_after: int | None = None

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        assert path == "loki/api/v1/push"
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Unreachable):
                raise answer
            return answer
        batch_id = headers["X-Weir-Batch-Id"]
        if batch_id in self.batches:
            assert self.batches[batch_id] == body, "one id stands for one body"
            return Posted(200, "", {})
        lines = [value[1] for stream in msgspec.json.decode(body)["streams"] for value in stream["values"]]
        self.batches[batch_id] = body
        self.stored += [line for line in lines if line not in self.refuses]
        if self.dies_after is not None and len(self.batches) > self.dies_after:
            raise KeyboardInterrupt  # stored, and the client dies before it hears of it
        refused = [line for line in lines if line in self.refuses]
        return Posted(400, f"refused: {refused[0]}", {}) if refused else Posted(204, "", {})


def run(store: Store, path: Path, *, patience: float = 5, in_flight: int = 1) -> tuple[Figures, list[Rejected]]:
    (source,) = find_sources([str(path)])
    figures, rejected = Figures(), list[Rejected]()
    reading = Reading(batch_lines=10)
    sender = Sender(store, patience, lambda _: None)
    import_source(source, reading, Options("t", in_flight), sender, figures, rejected.append, lambda: None)
    return figures, rejected


@pytest.mark.parametrize("dies_after", range(6))
@pytest.mark.parametrize("in_flight", [1, 3])
def test_a_run_after_a_death_sends_the_same_batches_and_each_line_is_stored_once(
    tmp_path: Path, dies_after: int, in_flight: int
) -> None:
    path = tmp_path / "app.log"
    path.write_text("".join(f"line {number}\n" for number in range(57)))
    store = Store()
    store.dies_after = dies_after
    with pytest.raises(KeyboardInterrupt):
        run(store, path, in_flight=in_flight)
    store.dies_after = None
    # What came meanwhile belongs to batches of its own, as those of the first run may be stored.
    with path.open("a") as file:
        file.write("one more\n")
    figures, _ = run(store, path, in_flight=in_flight)
    assert sorted(store.stored) == sorted([*(f"line {number}" for number in range(57)), "one more"])
    assert figures.lines + figures.before == 58
    again, _ = run(store, path)
    assert (again.lines, again.before, len(store.stored)) == (0, 58, 58)


def test_other_flags_do_not_go_on_with_a_state(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("x\n")
    store = Store()
    run(store, path)
    (source,) = find_sources([str(path)])
    with pytest.raises(BadArgument, match="--restart"):
        import_source(
            source, Reading(labels={"a": "b"}), Options("t"), Sender(store, 1, print), Figures(), print, lambda: None
        )


def test_a_file_of_the_same_name_is_not_taken_for_the_one_that_was_rotated_away(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("first\nsecond\n")
    store = Store()
    run(store, path)
    path.unlink()
    path.write_text("third\nfourth\nfifth\n")
    run(store, path)
    assert store.stored == ["first", "second", "third", "fourth", "fifth"]


def test_a_state_that_a_power_cut_tore_is_believed_up_to_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("".join(f"line {number}\n" for number in range(57)))
    store = Store()
    run(store, path)
    state = tmp_path / "app.log.weir-import"
    whole = state.read_bytes()
    for size in range(whole.index(b"\n") + 1, len(whole), 17):
        state.write_bytes(whole[:size])
        run(store, path)
        assert len(store.stored) == 57


def test_refused_lines_are_found_among_the_others(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("".join(f"line {number}\n" for number in range(40)))
    store = Store()
    store.refuses = {"line 3", "line 11", "line 19"}
    figures, rejected = run(store, path)
    assert {each.text: each.reason for each in rejected} == {line: f"refused: {line}" for line in store.refuses}
    assert figures.lines == 37
    assert set(store.stored) == {f"line {number}" for number in range(40)} - store.refuses


def test_a_server_that_is_away_or_busy_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("x\n")
    store = Store()
    store.answers = [Unreachable("gone"), Posted(503, "full", {"Retry-After": "1"}), Posted(429, "slowly", {})]
    began = time.monotonic()
    figures, _ = run(store, path)
    assert (figures.lines, store.stored) == (1, ["x"])
    assert time.monotonic() - began >= 1


def test_patience_ends(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("x\n")
    store = Store()
    store.answers = [Unreachable("gone")] * 100
    with pytest.raises(Unreachable, match="gone"):
        run(store, path, patience=0.5)
    store.answers = [Posted(401, "no org id", {})]
    with pytest.raises(ServerRefused, match="no org id"):
        run(store, path)
    store.answers = []
    run(store, path)
    assert store.stored == ["x"]


def test_a_batch_over_what_may_come_at_once_is_sent_in_halves() -> None:
    class Narrow(Store):
        def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Posted:
            if body.count(b'["') > 4:
                return Posted(429, "too much", {})
            return super().post(path, body, headers)

    store = Narrow()
    rows: list[Row] = [((), [str(number), f"line {number}"]) for number in range(6)]
    assert Sender(store, 60, lambda _: None).send(rows, uuid.uuid4()) == []
    assert store.stored == [f"line {number}" for number in range(6)]


def test_the_forms_are_told_apart_or_as_the_flag_says(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text('{"ts":"1","labels":{},"line":"a"}\n')
    assert rows_of(path, Reading())[0] == [((), ["1000000000", "a"])]
    text = rows_of(path, Reading(form=Format.TEXT, file_label=""))[0]
    assert text[0][1][1] == '{"ts":"1","labels":{},"line":"a"}'
