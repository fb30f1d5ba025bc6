"""`weir notify test`: each notifier is told of a test and of its end, and who cannot be told is named."""

from __future__ import annotations

import json

import pytest

from tests.gateway.notify.receiver import Receiver
from tests.gateway.weir_command import weir


def test_each_notifier_is_told_of_a_test_and_of_its_end() -> None:
    with Receiver() as receiver:
        pager = {"kind": "pagerduty", "key": "hush-hush", "url": receiver.url, "events": ["disk"]}
        hook = {"kind": "webhook", "name": "ops", "url": receiver.url, "source": "edge-7"}
        for notifier in (pager, hook):
            done = weir("notify", "test", "--set", f"notify={json.dumps([notifier])}")
            assert (done.returncode, done.stderr) == (0, "")
            assert "was told of a test alert, and of its end" in done.stdout
    trigger, resolve, raised, resolved = (got.body for got in receiver.got)
    assert [trigger["event_action"], resolve["event_action"]] == ["trigger", "resolve"]
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert trigger["payload"]["severity"] == "info"
    assert [raised["action"], resolved["action"]] == ["raised", "resolved"]
    assert raised["source"] == "edge-7"
    assert done.stdout.startswith("ops: ")


@pytest.mark.parametrize("answer", [403, 500])
def test_one_that_cannot_be_told_is_named_and_the_others_are_told(answer: int) -> None:
    with Receiver() as bad, Receiver() as good:
        bad.answers = [answer]
        both = [{"kind": "webhook", "name": f"n{at}", "url": each.url} for at, each in enumerate((bad, good))]
        done = weir("notify", "test", "--set", f"notify={json.dumps(both)}")
        assert done.returncode == 1
        assert done.stderr == f"n0: could not be told: status {answer}\n"
        assert done.stdout.startswith("n1: was told")
        assert len(good.got) == 2


def test_without_notifiers_there_is_nobody_to_tell() -> None:
    done = weir("notify", "test")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no notifiers are set" in done.stderr
