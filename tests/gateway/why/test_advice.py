"""Every reason for which lines are refused comes with what to do about it."""

from __future__ import annotations

import re

import pytest

from config import Settings
from gateway.forward.entries import GROUP_TOO_LARGE, REASONS
from gateway.push.entries import REASONS as FAULTS
from gateway.push.streams import Refusal
from gateway.rejected.noting import REQUEST_REASONS
from gateway.why.advice import ADVICE, STORED, advice

SETTING = re.compile(r"\b(limits|forward|log|retention|tenancy|server)\.([a-z_]+[a-z])")


@pytest.mark.parametrize(
    "reason", [*FAULTS.values(), *Refusal, *REQUEST_REASONS.values(), "bad_field", "internal_error"]
)
def test_every_reason_has_an_advice(reason: str) -> None:
    assert reason in ADVICE


@pytest.mark.parametrize("reason", [*REASONS, GROUP_TOO_LARGE, "handshake", "cut_short", "tls"])
def test_forwards_reasons_have_one_at_least_of_their_own_door(reason: str) -> None:
    assert advice(f"forward_{reason}") != advice("never heard of")


def test_settings_that_are_named_are_settings() -> None:
    settings = Settings()
    named = {found for text in ADVICE.values() for found in SETTING.findall(text)}
    assert ("limits", "max_line_size") in named
    for group, name in named:
        fields = type(getattr(settings, group)).model_fields
        assert any(field == name or (name == "tls" and field.startswith("tls")) for field in fields), (group, name)


def test_what_is_stored_all_the_same_is_a_reason_of_forward() -> None:
    assert all(reason.startswith("forward_") for reason in STORED)
