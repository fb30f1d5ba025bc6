"""What storage says of itself, as alerts."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.notify import Alerts, watch
from gateway.notify.watch import StateWatch
from storage.figures import Condition

FINE = Condition(syncs=10, disk_used=0.5)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY", 0.01)


def seen(*conditions: Condition) -> list[list[str]]:
    """Keys of the alerts after each look."""
    alerts = Alerts()
    state = StateWatch(alerts, Path("data"))
    found = []
    for condition in conditions:
        state.look(condition)
        found.append([alert.key for alert in alerts.active])
    return found


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        (replace(FINE, refusing=True), "disk"),
        (replace(FINE, flush_failing=True), "flush"),
        (replace(FINE, blocks_set_aside=2), "block"),
    ],
)
def test_a_state_is_an_alert_for_as_long_as_it_lasts(wrong: Condition, key: str) -> None:
    assert seen(FINE, wrong, wrong, FINE) == [[], [key], [key], []]


def test_a_refusal_between_two_looks_is_told() -> None:
    after = replace(FINE, refused_batches=1)
    assert seen(FINE, after, after) == [[], ["disk"], []]


def test_a_failed_sync_is_over_when_one_has_succeeded_and_nothing_is_refused() -> None:
    failed = replace(FINE, sync_failures=1)
    refusing = replace(failed, refusing=True, refused_batches=1)
    synced = replace(failed, syncs=11, refused_batches=2)
    assert seen(failed, refusing, synced, synced) == [["sync"], ["sync"], ["sync"], []]


def test_a_disk_that_cannot_even_be_asked_is_an_alert() -> None:
    alerts = Alerts()
    answers: list[Condition | OSError] = [FINE, OSError(errno.EIO, "Input/output error")]

    def condition() -> Condition:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def main() -> None:
        watching = asyncio.ensure_future(StateWatch(alerts, Path("data")).run(condition))
        async with asyncio.timeout(20):
            while not alerts.active:  # noqa: ASYNC110 - what is waited for happens in a thread
                await asyncio.sleep(0.005)
        watching.cancel()

    asyncio.run(main())
    (alert,) = alerts.active
    assert (alert.key, alert.summary) == ("disk", "the data directory cannot be looked at: Input/output error")


def test_alerts_say_where_and_how_bad() -> None:
    alerts = Alerts()
    StateWatch(alerts, Path("/srv/weir")).look(replace(FINE, refusing=True, refused_batches=4))
    (alert,) = alerts.active
    assert (alert.key, alert.severity) == ("disk", "critical")
    assert alert.details == {"data_dir": "/srv/weir", "disk_used": "50%", "refused_batches": "4"}
