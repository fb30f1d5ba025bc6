"""Validation answers as Loki was recorded to answer, under the limits it was recorded with."""

from typing import Any

import pytest

from config.limits import Limits, loki_defaults
from gateway.push.errors import InvalidEntries, PushError, PushFailed
from gateway.push.streams import TenantStreams
from gateway.push.validate import validate
from tests.gateway.push.pushes import NOW, batch_of, body_of, entries_of, one_stream, records

LIMITS = Limits(**{**loki_defaults(), "reject_old_samples": False})
STATUS: dict[type[PushError], int] = {InvalidEntries: 400, PushFailed: 500}


@pytest.mark.parametrize("record", records("validation.jsonl"), ids=lambda record: record["id"])
def test_a_recorded_push_is_answered_as_loki_did(record: dict[str, Any]) -> None:
    verdict = validate(batch_of(body_of(record)), "fake", LIMITS, NOW, TenantStreams())
    if record["status"] == 204:
        assert verdict.error is None
        assert verdict.batch is not None
        assert verdict.discarded == ()
    else:
        assert str(verdict.error) == record["text"]
        assert verdict.error is not None
        assert STATUS[type(verdict.error)] == record["status"]


def test_what_is_good_beside_a_bad_stream_is_stored() -> None:  # push-102
    (record,) = (record for record in records("validation.jsonl") if record["id"] == "push-102")
    verdict = validate(batch_of(body_of(record)), "fake", LIMITS, NOW, TenantStreams())
    assert [line for _, _, line, _ in entries_of(verdict.batch)] == [b"good"]


def test_metadata_is_stored_under_label_names() -> None:  # push-108
    batch = one_stream(
        [NOW, "x", {"a": "1", "b.c": "2", "d-e": "3", "f": ""}],
        [NOW + 1, "y"],
        push_case="v-sm",
    )
    labels = (("push_case", "v-sm"), ("service_name", "unknown_service"))
    assert entries_of(validate(batch, "fake", LIMITS, NOW, TenantStreams()).batch) == [
        (labels, NOW, b"x", {"a": b"1", "b_c": b"2", "d_e": b"3", "detected_level": b"unknown"}),
        (labels, NOW + 1, b"y", {"detected_level": b"unknown"}),
    ]


def test_a_level_that_was_sent_stays() -> None:  # push-109
    batch = one_stream([NOW, "x", {"detected_level": "custom"}])
    ((*_, metadata),) = entries_of(validate(batch, "fake", LIMITS, NOW, TenantStreams()).batch)
    assert metadata == {"detected_level": b"custom"}
