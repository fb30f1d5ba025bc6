"""What is kept of refusals, and how much of it at most."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gateway.push.refusals import Discard, RefusedRows
from gateway.rejected import journal as journal_module
from gateway.rejected.journal import Journal, Sample, Sender, cut_labels, samples_of
from storage.batch import Labels
from storage.build import BatchBuilder

S = 1_000_000_000
HERE = Sender("loki", "10.0.0.1", "agent/1")


class Clock:
    def __init__(self) -> None:
        self.now = 1000 * S

    def __call__(self) -> int:
        return self.now


def discard(*lines: tuple[str, bytes], told: Callable[[int], str] = lambda row: f"row {row}") -> Discard:
    """Lines of streams that have a label app, all of them refused."""
    builder, streams = BatchBuilder(), {}
    for number, (app, line) in enumerate(lines):
        if app not in streams:
            streams[app] = builder.add_stream((("app", app),))
        builder.add(streams[app], number, line, ())
    batch = builder.build()
    size = int(batch.lines.lengths.sum())
    return Discard("line_too_long", len(lines), size, (RefusedRows(batch, np.arange(len(lines)), told),))


def test_a_line_of_each_stream_is_shown_with_its_text_and_how_many_there_are() -> None:
    found = samples_of(discard(("b", b"one"), ("a", b"two"), ("b", b"three"), ("b", b"four")))
    assert found == [
        (Sample("row 0", (("app", "b"),), b"one", 0, 3), 3),
        (Sample("row 1", (("app", "a"),), b"two", 1, 3), 1),
    ]


def test_of_many_streams_a_few_are_shown_and_of_long_texts_the_beginning() -> None:
    many = discard(*((f"a{n}", b"x" * 1000) for n in range(50)), told=lambda _: "t" * 10_000)
    found = samples_of(many)
    assert len(found) == journal_module.STREAMS_OF_ONE
    sample, _ = found[0]
    assert (sample.line, sample.whole) == (b"x" * journal_module.SAMPLE_BYTES, 1000)
    assert len(sample.error) == journal_module.TEXT
    long: Labels = tuple((f"n{n}", "v" * 1000) for n in range(10))
    assert sum(len(name) + len(value) for name, value in cut_labels(long)) <= journal_module.LABELS + 2
    assert cut_labels((("a", "b"),)) == (("a", "b"),)


def test_refusals_are_added_up_by_tenant_reason_sender_and_stream() -> None:
    clock = Clock()
    journal = Journal(clock)
    journal.lines("t", HERE, [discard(("a", b"one"))])
    clock.now += S
    journal.lines("t", HERE, [discard(("a", b"two"), ("b", b"three"))])
    journal.lines("other", HERE, [discard(("a", b"one"))])
    journal.whole("t", Sender("otlp", "10.0.0.2"), "bad_request", "no protobuf\n")
    request, lines = journal.of(["t"])
    assert (request.name, request.requests, request.lines) == ("bad_request", 1, 0)
    assert [entry.sample.error for entry in request.entries.values()] == ["no protobuf"]
    assert (lines.lines, lines.bytes, lines.first, lines.last) == (3, 11, 1000 * S, 1001 * S)
    of_a, of_b = lines.entries.values()
    assert (of_a.sample.line, of_a.count, of_a.first, of_a.last) == (b"two", 2, 1000 * S, 1001 * S)
    assert (of_b.sample.line, of_b.count) == (b"three", 1)


def test_what_belongs_to_nobody_is_shown_to_all() -> None:
    journal = Journal()
    journal.whole("", HERE, "no_tenant", "no org id")
    journal.whole("x", HERE, "bad_request", "?")
    assert [reason.name for reason in journal.of(["t"])] == ["no_tenant"]


def test_a_flood_is_counted_and_looked_at_so_many_times_a_second() -> None:
    looked: list[int] = []

    def told(row: int) -> str:
        looked.append(row)
        return ""

    clock = Clock()
    journal = Journal(clock)
    for _ in range(1000):
        journal.lines("t", HERE, [discard(("a", b"one"), told=told)])
    assert (len(looked), journal.unseen) == (journal_module.LOOKED_AT, 1000 - journal_module.LOOKED_AT)
    (reason,) = journal.of(["t"])
    assert (reason.lines, reason.bytes) == (1000, 3000)
    clock.now += S
    journal.lines("t", HERE, [discard(("a", b"one"), told=told)])
    assert len(looked) == journal_module.LOOKED_AT + 1


def test_the_last_senders_and_streams_of_a_reason_are_kept() -> None:
    clock = Clock()
    journal = Journal(clock)
    most = journal_module.ENTRIES_OF_REASON
    for number in range(most + 5):
        clock.now += S
        journal.lines("t", HERE, [discard((f"a{number}", b"x"))])
    (reason,) = journal.of(["t"])
    assert [entry.sample.labels for entry in reason.entries.values()] == [
        (("app", f"a{number}"),) for number in range(5, most + 5)
    ]
    assert reason.lines == most + 5


def test_tenants_without_end_take_no_more_than_so_much() -> None:
    clock = Clock()
    journal = Journal(clock)
    for number in range(journal_module.REASONS + 10):
        clock.now += S
        journal.whole(f"t{number}", HERE, "bad_request", "?")
    assert not journal.of(["t9"])
    assert journal.of(["t10"])
    for number in range(journal_module.ENTRIES):
        clock.now += S
        journal.lines(f"u{number // 32}", HERE, [discard((f"a{number % 32}", b"x"))])
    assert not journal.of([f"t{journal_module.REASONS + 9}"]), "samples are counted over all tenants"
    assert len(journal.of(["u0"])[0].entries) == 32
