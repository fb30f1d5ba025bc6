"""Limits one by one, their order, and what a push comes out as."""

from typing import Any

import numpy as np
import pytest

from config.limits import Limits
from gateway.push.errors import IngestionBlocked, InvalidEntries, PushFailed, RateLimited
from gateway.push.refusals import Discard, Mutation, byte_size, go_time, rfc3339
from gateway.push.streams import TenantStreams
from gateway.push.validate import Verdict, validate
from storage.batch import Batch, texts
from tests.gateway.push.pushes import HOUR, NOW, SECOND, batch_of, entries_of, one_stream

AB = '{a="b", service_name="unknown_service"}'
MIB = 1 << 20


def judge(batch: Batch, states: TenantStreams | None = None, now: int = NOW, **limits: Any) -> Verdict:
    return validate(batch, "fake", Limits.model_validate(limits), now, states or TenantStreams())


def lines_of(verdict: Verdict) -> list[bytes]:
    return [line for _, _, line, _ in entries_of(verdict.batch)]


# -- streams


def test_equal_label_sets_become_one_stream_and_empty_ones_are_left_out() -> None:
    streams = [
        {"stream": {"a": n}, "values": [[NOW, line] for line in lines]}
        for n, lines in zip("xyxz", ("1", "", "2", "3"), strict=True)
    ]
    verdict = judge(batch_of(streams))
    assert verdict.batch is not None
    assert [dict(labels)["a"] for labels in verdict.batch.streams] == ["x", "z"]
    assert lines_of(verdict) == [b"1", b"2", b"3"]
    assert verdict.batch.stream.tolist() == [0, 0, 1]


def test_a_push_of_streams_without_entries_is_well() -> None:
    verdict = judge(batch_of([{"stream": {"a": "b"}, "values": []}]))
    assert (verdict.batch, verdict.error, verdict.discarded) == (None, None, ())


@pytest.mark.parametrize(
    ("labels", "limits", "reason", "text"),
    [
        ({"abc": "b"}, {"max_label_name_length": 2}, "label_name_too_long", "label name too long: 'abc'"),
        ({"a": "éé"}, {"max_label_value_length": 3}, "label_value_too_long", "label value too long: 'éé'"),
    ],
)
def test_long_labels_are_refused_by_their_bytes(
    labels: dict[str, str], limits: dict[str, Any], reason: str, text: str
) -> None:
    batch = batch_of([{"stream": labels, "values": [[NOW, "xyz", {"k": "v"}]]}])
    ((name, value),) = labels.items()
    verdict = judge(batch, discover_service_name=[], **limits)
    assert str(verdict.error) == f"stream '{{{name}=\"{value}\"}}' has {text}"
    assert verdict.discarded == (Discard(reason, 1, 5),)
    off: dict[str, Any] = dict.fromkeys(limits, 0)
    assert judge(batch, discover_service_name=[], **off).error is None


def test_a_stream_without_labels_is_refused_where_none_are_discovered() -> None:
    batch = batch_of([{"stream": {}, "values": [[NOW, "x"]]}])
    verdict = judge(batch, discover_service_name=[])
    assert str(verdict.error) == "error at least one label pair is required per stream"
    assert judge(batch).error is None


def test_enforced_labels_must_be_there() -> None:
    verdict = judge(one_stream([NOW, "x"]), enforced_labels=["team", "a", "zone"])
    assert str(verdict.error) == f"missing required labels 'team,zone' for user 'fake' for stream '{AB}' (policy: '')"
    assert verdict.discarded == (Discard("missing_enforced_labels", 1, 1),)
    assert judge(one_stream([NOW, "x"]), enforced_labels=["a"]).error is None


def test_blocked_ingestion_drops_all_with_the_status_asked_for() -> None:
    verdict = judge(one_stream([NOW, "x"]), block_ingestion_until=NOW + HOUR, block_ingestion_status_code=456)
    assert isinstance(verdict.error, IngestionBlocked)
    assert verdict.error.status == 456
    assert str(verdict.error) == (
        f"ingestion blocked for user 'fake' until '{rfc3339(NOW + HOUR)}' with status code '456'"
    )
    assert verdict.batch is None
    assert verdict.discarded == (Discard("blocked_ingestion", 1, 1),)
    assert judge(one_stream([NOW, "x"]), block_ingestion_until=NOW).error is None


def test_blocked_ingestion_with_status_200_says_nothing() -> None:
    verdict = judge(one_stream([NOW, "x"]), block_ingestion_until=NOW + 1, block_ingestion_status_code=200)
    assert (verdict.batch, verdict.error) == (None, None)


def test_a_validation_error_is_told_before_that_ingestion_is_blocked() -> None:
    verdict = judge(one_stream([NOW, "x"]), block_ingestion_until=NOW + 1, enforced_labels=["team"])
    assert isinstance(verdict.error, InvalidEntries)


# -- entries


def test_entries_that_are_too_old_are_refused_and_the_others_stored() -> None:
    batch = one_stream([NOW - 7 * 24 * HOUR - 1, "old"], [NOW - 7 * 24 * HOUR, "edge"], [NOW, "new"])
    verdict = judge(batch, reject_old_samples=True)
    assert str(verdict.error) == (
        f"entry for stream '{AB}' has timestamp too old: 2026-11-15T09:59:59Z, "
        "oldest acceptable timestamp is: 2026-11-15T10:00:00Z"
    )
    assert lines_of(verdict) == [b"edge", b"new"]
    assert verdict.discarded == (Discard("greater_than_max_sample_age", 1, 3),)
    assert judge(batch).error is None


def test_entries_from_the_future_are_refused() -> None:
    batch = one_stream([NOW + 600 * SECOND, "edge"], [NOW + 600 * SECOND + 1, "late"])
    verdict = judge(batch)
    assert str(verdict.error) == f"entry for stream '{AB}' has timestamp too new: 2026-11-22T10:10:00Z"
    assert lines_of(verdict) == [b"edge"]
    assert verdict.discarded == (Discard("too_far_in_future", 1, 4),)


def test_long_lines_are_refused() -> None:
    verdict = judge(one_stream([NOW, "12345"], [NOW, "123456", {"k": "v"}]), max_line_size=5)
    assert str(verdict.error) == (
        f"max entry size '5' bytes exceeded for stream '{AB}' while adding an entry with length '6' bytes"
    )
    assert verdict.discarded == (Discard("line_too_long", 1, 8),)
    assert judge(one_stream([NOW, "x" * 300_000]), max_line_size=0).error is None


def test_long_lines_are_cut_and_marked_where_that_is_asked_for() -> None:
    batch = one_stream([NOW, "short"], [NOW, "0123456789ab"], [NOW, "ééééééé"], [NOW, "0123456789"])
    verdict = judge(batch, max_line_size=10, max_line_size_truncate=True, max_line_size_truncate_identifier="…")
    assert verdict.error is None
    assert lines_of(verdict) == [
        b"short",
        b"0123456\xe2\x80\xa6",
        "ééé".encode() + b"\xc3\xe2\x80\xa6",
        b"0123456789",
    ]
    assert verdict.mutated == (Mutation("line_too_long", 2, 6),)


def test_an_identifier_that_fills_the_line_cuts_nothing() -> None:
    limits: dict[str, Any] = {
        "max_line_size": 3,
        "max_line_size_truncate": True,
        "max_line_size_truncate_identifier": "...",
    }
    verdict = judge(one_stream([NOW, "1234"]), **limits)
    assert "max entry size '3' bytes exceeded" in str(verdict.error)
    assert verdict.mutated == ()


def test_metadata_is_refused_where_it_is_not_allowed() -> None:
    verdict = judge(one_stream([NOW, "x", {"k": "v"}], [NOW, "y"]), allow_structured_metadata=False)
    assert str(verdict.error) == (
        f"stream '{AB}' includes structured metadata, but this feature is disallowed. Please see "
        "`limits_config.allow_structured_metadata` or contact your Loki administrator to enable it"
    )
    assert [(line, metadata) for _, _, line, metadata in entries_of(verdict.batch)] == [(b"y", {})]
    assert verdict.discarded == (Discard("disallowed_structured_metadata", 1, 3),)


def test_metadata_limits_can_be_off() -> None:
    batch = one_stream([NOW, "x", {f"k{n}": "v" * 1000 for n in range(200)}])
    limits: dict[str, Any] = {"max_structured_metadata_size": 0, "max_structured_metadata_entries_count": 0}
    assert judge(batch, **limits).error is None
    assert "too large: '200690' bytes, limit: '65536' bytes" in str(judge(batch).error)


def test_of_several_faults_the_first_loki_looks_for_counts() -> None:
    batch = one_stream([1, "x" * 10, {"k": "v"}], [NOW + HOUR, "x" * 10, {"k": "v"}], [NOW, "x" * 10, {"k": "v"}])
    verdict = judge(batch, reject_old_samples=True, max_line_size=5, allow_structured_metadata=False)
    assert [discard.reason for discard in verdict.discarded] == [
        "greater_than_max_sample_age",
        "too_far_in_future",
        "line_too_long",
    ]
    assert str(verdict.error).count("1 errors like: ") == 3


def test_equal_texts_are_grouped_in_order_of_appearance() -> None:
    batch = batch_of(
        [
            {"stream": {"a": "y"}, "values": [[NOW, "123456"], [NOW, "1234567"], [NOW, "123456"]]},
            {"stream": {"a": "x"}, "values": [[NOW, "123456"]]},
        ],
    )
    texts_told = str(judge(batch, max_line_size=5, discover_service_name=[]).error).split("; ")
    assert texts_told == [
        f"{times} errors like: max entry size '5' bytes exceeded for stream '{{a=\"{name}\"}}' "
        f"while adding an entry with length '{length}' bytes"
        for times, name, length in ((2, "y", 6), (1, "y", 7), (1, "x", 6))
    ]


def test_one_text_twice_is_a_group() -> None:
    text = str(judge(one_stream([NOW, "123456"], [NOW, "123456"]), max_line_size=5).error)
    assert text.startswith("2 errors like: max entry size")


def test_the_answer_to_a_push_of_many_faults_names_each() -> None:
    n = 20_000
    streams = [(("a", str(number)),) for number in range(500)]
    ts = np.arange(n, dtype=np.int64) * SECOND + 1
    batch = Batch(streams, (np.arange(n) % 500).astype(np.int32), ts, texts([b"x"] * n))
    verdict = judge(batch, reject_old_samples=True)
    told = str(verdict.error).split("; ")
    assert told[0].startswith('1 errors like: entry for stream \'{a="0"')
    assert len(told) == n
    assert verdict.discarded == (Discard("greater_than_max_sample_age", n, n),)


def test_a_metadata_name_that_cannot_be_one_fails_the_push_unless_its_entry_is_refused_anyway() -> None:
    batch = one_stream([NOW, "good"], [NOW + HOUR, "x", {"": "v"}])
    assert isinstance(judge(batch).error, InvalidEntries)
    verdict = judge(batch, creation_grace_period=2 * HOUR)
    assert isinstance(verdict.error, PushFailed)
    assert verdict.batch is None


def test_equal_times_are_spread_where_that_is_asked_for() -> None:
    batch = batch_of(
        [
            {"stream": {"a": "x"}, "values": [[5, "1"], [5, "2"], [5, "2"], [5, "3"], [6, "4"], [9, "5"]]},
            {"stream": {"a": "y"}, "values": [[5, "1"], [7, "2"]]},
        ],
    )
    spread = [ts for _, ts, _, _ in entries_of(judge(batch, increment_duplicate_timestamp=True).batch)]
    # 5, 5+1, then the same line again keeps its time; "3" follows that one's; 6 is the time of the moved "3".
    assert spread == [5, 6, 5, 6, 7, 9, 5, 7]
    assert [ts for _, ts, _, _ in entries_of(judge(batch).batch)] == [5, 5, 5, 5, 6, 9, 5, 7]


def test_times_at_or_before_the_epoch_are_refused_and_the_others_stored() -> None:
    verdict = judge(one_stream([0, "unset"], [-1, "before"], [1, "first"]))
    assert isinstance(verdict.error, PushFailed)
    assert str(verdict.error).endswith("no schema config found for time 0")
    assert lines_of(verdict) == [b"first"]
    assert verdict.discarded == (Discard("timestamp_before_epoch", 2, 11),)


# -- rates and streams


def test_a_push_over_the_tenants_rate_is_refused_whole() -> None:
    states = TenantStreams()
    limits: dict[str, Any] = {"ingestion_rate_mb": 1.0, "ingestion_burst_size_mb": 2.0, "max_line_size": 0}
    assert judge(one_stream([NOW, "x" * MIB, {"k": "v"}]), states, **limits).error is None
    batch = one_stream([NOW, "x" * MIB], [NOW, "too new"], [NOW + HOUR, "x"])
    verdict = judge(batch, states, **limits)
    assert isinstance(verdict.error, RateLimited)
    assert str(verdict.error) == (
        "ingestion rate limit exceeded for user fake (limit: 1048576 bytes/sec) while attempting to ingest "
        f"'2' lines totaling '{MIB + 7}' bytes, reduce log volume or contact your Loki administrator to see if the "
        "limit can be increased"
    )
    assert verdict.batch is None
    assert Discard("rate_limited", 2, MIB + 7) in verdict.discarded
    assert isinstance(judge(batch, states, NOW + SECOND, **limits).error, InvalidEntries)


def test_detected_levels_do_not_count_in_sizes() -> None:
    states = TenantStreams()
    limits: dict[str, Any] = {"ingestion_rate_mb": 1.0, "ingestion_burst_size_mb": 1.0, "max_line_size": 0}
    assert judge(one_stream([NOW, "x" * MIB]), states, **limits).error is None


def test_streams_over_the_limit_are_refused_and_the_others_stored() -> None:
    batch = batch_of([{"stream": {"a": name}, "values": [[NOW, name], [NOW, name]]} for name in "xyz"])
    verdict = judge(batch, max_streams_per_user=5, max_global_streams_per_user=1)
    assert isinstance(verdict.error, RateLimited)
    assert str(verdict.error) == (
        'maximum active stream limit exceeded when trying to create stream {a="y", service_name="unknown_service"}, '
        "reduce the number of active streams (reduce labels or reduce label values), or contact your Loki "
        "administrator to see if the limit can be increased, user: 'fake'"
    )
    assert lines_of(verdict) == [b"x", b"x"]
    assert verdict.batch is not None
    assert len(verdict.batch.streams) == 1
    assert verdict.discarded == (Discard("stream_limit", 4, 4),)


def test_a_stream_over_its_rate_is_refused_with_a_line_an_entry() -> None:
    batch = batch_of(
        [
            {"stream": {"a": "x"}, "values": [[NOW + 5, "1234"], [NOW, "123456"]]},
            {"stream": {"a": "y"}, "values": [[NOW, "1"]]},
        ],
    )
    verdict = judge(batch, per_stream_rate_limit=3 * MIB, per_stream_rate_limit_burst=9, discover_service_name=[])
    inner = (
        "Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest for stream '{a=\"x\"}' totaling "
        "%s, consider splitting a stream via additional labels or contact your Loki administrator to see if the limit "
        "can be increased"
    )
    assert isinstance(verdict.error, RateLimited)
    assert str(verdict.error) == (
        f"entry with timestamp 2026-11-22 10:00:00.000000005 +0000 UTC ignored, reason: '{inner % '4B'}',\n"
        f"entry with timestamp 2026-11-22 10:00:00 +0000 UTC ignored, reason: '{inner % '6B'}',\n"
        "user 'fake', total ignored: 2 out of 2 for stream: {a=\"x\"}"
    )
    assert lines_of(verdict) == [b"1"]
    assert verdict.discarded == (Discard("per_stream_rate_limit", 2, 10),)


def test_entries_too_far_behind_are_listed_up_to_a_number() -> None:
    values = [[NOW, "new"], *([NOW - HOUR - 1 - n * SECOND, "late"] for n in range(12)), [NOW - HOUR, "edge"]]
    verdict = judge(one_stream(*values), out_of_order_window=HOUR)
    assert isinstance(verdict.error, InvalidEntries)
    *listed, total = str(verdict.error).split("\n")
    assert len(listed) == 10
    assert listed[1] == (
        "entry with timestamp 2026-11-22 08:59:58.999999999 +0000 UTC ignored, reason: 'entry too far behind, entry "
        "timestamp is: 2026-11-22T08:59:58Z, oldest acceptable timestamp is: 2026-11-22T09:00:00Z',"
    )
    assert total == f"user 'fake', total ignored: 12 out of 14 for stream: {AB}"
    assert lines_of(verdict) == [b"new", b"edge"]
    assert verdict.discarded == (Discard("too_far_behind", 12, 48),)
    assert judge(one_stream(*values)).error is None


def test_interleaved_streams_are_judged_in_their_own_order() -> None:
    streams = [(("a", "x"),), (("a", "y"),)]
    ts = np.array([NOW, NOW - 3 * HOUR, NOW - 2 * HOUR, NOW - 2 * HOUR, NOW - 5 * HOUR], np.int64)
    batch = Batch(streams, np.array([0, 1, 0, 1, 1], np.int32), ts, texts([b"x0", b"y0", b"x1", b"y1", b"y2"]))
    verdict = judge(batch, out_of_order_window=HOUR, discover_service_name=[])
    assert lines_of(verdict) == [b"x0", b"y0", b"y1"]
    assert str(verdict.error).endswith('total ignored: 1 out of 2 for stream: {a="x"}')


def test_a_limit_on_streams_is_told_before_a_validation_error() -> None:
    batch = batch_of([{"stream": {"a": name}, "values": [[NOW, "1"], [NOW, "123456"]]} for name in "xy"])
    assert isinstance(judge(batch, max_line_size=5, max_streams_per_user=1).error, RateLimited)


def test_nothing_is_remembered_where_every_limit_on_streams_is_off() -> None:
    states = TenantStreams()
    judge(one_stream([NOW, "x"]), states)
    assert states._tenants == {}


# -- what comes out


def test_levels_are_not_detected_where_that_is_off() -> None:
    for off in ("discover_log_levels", "allow_structured_metadata"):
        limits: dict[str, Any] = {off: False}
        ((*_, metadata),) = entries_of(judge(one_stream([NOW, "error"]), **limits).batch)
        assert metadata == {}


def test_configured_fields_and_depth_hold() -> None:
    batch = one_stream([NOW, '{"a":{"b":{"prio":"dbg"}}}'])
    limits: dict[str, Any] = {"log_level_fields": ["prio"], "log_level_from_json_max_depth": 0}
    ((*_, metadata),) = entries_of(judge(batch, **limits).batch)
    assert metadata == {"detected_level": b"debug"}


def test_a_selection_is_left_behind_and_the_push_is_not_changed() -> None:
    batch = one_stream([NOW, "x", {"b.c": "\ufffd"}])
    before = entries_of(batch)
    verdict = judge(batch)
    assert entries_of(batch) == before
    assert verdict.batch is not None
    assert verdict.batch.selection is None


def test_times_and_sizes_are_written_as_go_writes_them() -> None:
    assert rfc3339(2**63 - 1) == "2262-04-11T23:47:16Z"
    assert rfc3339(-1) == "1969-12-31T23:59:59Z"
    assert go_time(NOW + 120_000_000) == "2026-11-22 10:00:00.12 +0000 UTC"
    assert [byte_size(size) for size in (0, 1, 1023, 1024, 1536, 3 * MIB, 1 << 60)] == [
        "0B",
        "1B",
        "1023B",
        "1KB",
        "1536B",
        "3MB",
        "1EB",
    ]
