"""Alerts: told once when they begin, once when they are over, whatever the receiver and the server do meanwhile."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import TypeAdapter

from config.notify import Notifiers
from gateway.notify import Alerts, channel
from tests.gateway.notify.receiver import Receiver


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(channel, "LONGEST_WAIT", 0.05)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


def webhook(url: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": url, **fields}


def run(
    folder: Path, body: Callable[[Alerts], Awaitable[None]], *notifiers: dict[str, Any], grace: float = 20
) -> Alerts:
    """Runs the alerts of a server for the time of `body`."""

    async def main() -> Alerts:
        alerts = Alerts(TypeAdapter(Notifiers).validate_python(list(notifiers)), "edge-7")
        await alerts.start(folder)
        try:
            await body(alerts)
        finally:
            await alerts.stop(grace)
        return alerts

    return asyncio.run(main())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is waited for happens in a thread of the receiver
            await asyncio.sleep(0.005)


def test_an_alert_is_told_once_until_it_is_over(tmp_path: Path, receiver: Receiver) -> None:
    async def body(alerts: Alerts) -> None:
        for _ in range(3):
            alerts.raised("disk", "no room", {"free": "0"})
        await until(lambda: len(receiver.got) == 1)
        assert [alert.key for alert in alerts.active] == ["disk"]
        for _ in range(3):
            alerts.resolved("disk")
        alerts.resolved("never raised")
        await until(lambda: len(receiver.got) == 2)
        alerts.raised("disk", "no room again")

    run(tmp_path, body, webhook(receiver.url))
    assert receiver.told == [("raised", "disk"), ("resolved", "disk"), ("raised", "disk")]
    assert receiver.got[0].body["details"] == {"free": "0"}
    assert receiver.got[0].headers["content-type"] == "application/json"


def test_alerts_may_come_from_any_thread(tmp_path: Path, receiver: Receiver) -> None:
    async def body(alerts: Alerts) -> None:
        def many() -> None:
            for number in range(20):
                alerts.raised(f"relay/{number}", "away")

        threads = [threading.Thread(target=many) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)

    run(tmp_path, body, webhook(receiver.url))
    assert sorted(receiver.told) == sorted(("raised", f"relay/{number}") for number in range(20))


def test_each_notifier_gets_what_it_asked_for_and_waits_for_no_other(tmp_path: Path, receiver: Receiver) -> None:
    async def body(alerts: Alerts) -> None:
        alerts.raised("relay/a", "away")
        alerts.raised("flush", "fails")
        await until(lambda: len(receiver.got) == 1)
        assert alerts.figures()["dead"].waiting == 2

    dead = webhook("http://127.0.0.1:9/", name="dead")
    run(tmp_path, body, dead, webhook(receiver.url, name="flushes", events=["flush"]), grace=0.05)
    assert receiver.told == [("raised", "flush")]


def test_a_receiver_that_fails_gets_it_again_and_one_that_refuses_does_not(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [500, 503, 200, 400]

    async def body(alerts: Alerts) -> None:
        alerts.raised("disk", "no room")
        await until(lambda: len(receiver.got) == 3)
        alerts.raised("flush", "fails")
        await until(lambda: len(receiver.got) == 4)
        alerts.raised("block", "damaged")

    figures = run(tmp_path, body, webhook(receiver.url)).figures()["webhook"]
    assert [key for _, key in receiver.told] == ["disk"] * 3 + ["flush", "block"]
    assert (figures.sent, figures.failures, figures.rejected, figures.waiting) == (2, 2, 1, 0)


def test_what_cancels_out_while_the_receiver_is_away_takes_no_room(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [500] * 3

    async def body(alerts: Alerts) -> None:
        alerts.raised("disk", "no room")
        await until(lambda: len(receiver.got) == 1)
        for _ in range(1000):
            alerts.resolved("disk")
            alerts.raised("disk", "no room")
        alerts.resolved("disk")
        assert alerts.figures()["webhook"].waiting <= 3

    run(tmp_path, body, webhook(receiver.url))
    assert receiver.told[3:] == [("raised", "disk"), ("resolved", "disk")]


def test_past_its_room_a_queue_takes_nothing_new(tmp_path: Path) -> None:
    async def body(alerts: Alerts) -> None:
        for number in range(channel.MAX_WAITING + 50):
            alerts.raised(f"relay/{number}", "away")
        figures = alerts.figures()["webhook"]
        assert (figures.waiting, figures.dropped) == (channel.MAX_WAITING, 50)
        alerts.resolved(f"relay/{channel.MAX_WAITING + 1}")  # it was not told of that one
        assert figures.waiting == channel.MAX_WAITING

    run(tmp_path, body, webhook("http://127.0.0.1:9/"), grace=0)


def test_one_incident_for_all_ends_with_the_last(tmp_path: Path, receiver: Receiver) -> None:
    async def body(alerts: Alerts) -> None:
        alerts.raised("disk", "no room")
        await until(lambda: len(receiver.got) == 1)
        alerts.raised("flush", "fails")
        await until(lambda: len(receiver.got) == 2)
        alerts.resolved("disk")
        alerts.raised("block", "damaged")
        await until(lambda: len(receiver.got) == 3)
        alerts.resolved("block")
        alerts.resolved("flush")

    run(tmp_path, body, {"kind": "pagerduty", "key": "abcd", "url": receiver.url, "incident_key": "shop"})
    bodies = [got.body for got in receiver.got]
    assert [body["event_action"] for body in bodies] == ["trigger", "trigger", "trigger", "resolve"]
    assert {body["dedup_key"] for body in bodies} == {"shop"}


def test_what_goes_on_is_told_again_where_that_is_wanted(tmp_path: Path, receiver: Receiver) -> None:
    async def body(alerts: Alerts) -> None:
        alerts.raised("disk", "no room")
        await until(lambda: len(receiver.got) == 3)
        alerts.resolved("disk")
        await until(lambda: ("resolved", "disk") in receiver.told)
        told = len(receiver.got)
        alerts.raised("flush", "fails")
        await until(lambda: len(receiver.got) >= told + 2)

    run(tmp_path, body, webhook(receiver.url, repeat="50ms"))
    over = receiver.told.index(("resolved", "disk"))
    assert set(receiver.told[:over]) == {("raised", "disk")}
    assert set(receiver.told[over + 1 :]) == {("raised", "flush")}


def test_a_restart_tells_nothing_twice_and_what_was_missed(tmp_path: Path, receiver: Receiver) -> None:
    async def first(alerts: Alerts) -> None:
        alerts.raised("disk", "no room")
        alerts.raised("flush", "fails")
        await until(lambda: len(receiver.got) == 2)

    async def second(alerts: Alerts) -> None:
        assert [alert.key for alert in alerts.active] == ["disk", "flush"]
        alerts.raised("disk", "no room")
        alerts.resolved("flush")

    run(tmp_path, first, webhook(receiver.url))
    run(tmp_path, second, webhook(receiver.url))
    assert receiver.told[2:] == [("resolved", "flush")]
    dead = webhook("http://127.0.0.1:9/", name="webhook")

    async def third(alerts: Alerts) -> None:
        alerts.resolved("disk")
        alerts.raised("block", "damaged")

    run(tmp_path, third, dead, grace=0)  # the receiver is away: none of this arrives

    async def fourth(alerts: Alerts) -> None:
        assert [alert.key for alert in alerts.active] == ["block"]

    run(tmp_path, fourth, webhook(receiver.url))
    assert sorted(receiver.told[3:]) == [("raised", "block"), ("resolved", "disk")]

    async def fifth(alerts: Alerts) -> None:
        alerts.resolved("block")
        alerts.raised("disk", "no room")

    run(tmp_path, fifth, webhook(receiver.url, events=["relay"]))  # of blocks it would hear nothing now
    assert receiver.told[5:] == [("resolved", "block")]


def test_alerts_of_what_is_no_more_end(tmp_path: Path, receiver: Receiver) -> None:
    async def body(alerts: Alerts) -> None:
        for name in ("relay/a", "relay/a/refused", "relay/b", "relay/b/refused", "disk"):
            alerts.raised(name, "wrong")
        alerts.keep_relays(["b"])
        assert [alert.key for alert in alerts.active] == ["relay/b", "relay/b/refused", "disk"]

    run(tmp_path, body, webhook(receiver.url))
    assert {("resolved", "relay/a"), ("resolved", "relay/a/refused")} <= set(receiver.told)


def test_what_was_kept_and_cannot_be_read_is_nothing(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "alerts.json").write_bytes(b'{"active":[{"ke')

    async def body(alerts: Alerts) -> None:
        assert alerts.active == []
        alerts.raised("disk", "no room")

    run(tmp_path, body, webhook(receiver.url))
    assert receiver.told == [("raised", "disk")]


def test_the_file_of_what_was_told_never_changes_its_size(tmp_path: Path, receiver: Receiver) -> None:
    sizes: set[int] = set()

    async def body(alerts: Alerts) -> None:
        kept = tmp_path / "alerts.json"
        await until(kept.exists)
        for number in range(20):
            alerts.raised(f"relay/{number}", "away")
            await until(lambda number=number: f'"relay/{number}"' in kept.read_text())  # type: ignore[misc]
            sizes.add(kept.stat().st_size)

    run(tmp_path, body, webhook(receiver.url))
    assert len(sizes) == 1


def test_a_receiver_with_a_certificate_of_its_own_is_checked_with_its_authority(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))

    async def body(alerts: Alerts) -> None:
        alerts.raised("disk", "no room")
        await until(lambda: alerts.figures()["stranger"].failures > 0)

    with Receiver(context) as receiver:
        by_file = webhook(receiver.url, name="file", ca=str(pem))
        by_text = webhook(receiver.url, name="text", ca=pem.read_text())
        stranger = webhook(receiver.url, name="stranger")
        alerts = run(tmp_path, body, by_file, by_text, stranger, grace=1)
        assert [alerts.figures()[name].sent for name in ("file", "text", "stranger")] == [1, 1, 0]


def test_headers_are_sent_and_no_secret_is_logged(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [500, 403]

    async def body(alerts: Alerts) -> None:
        alerts.raised("disk", "no room")
        await until(lambda: len(receiver.got) == 2)

    with caplog.at_level(logging.DEBUG, logger="weir"):
        hook = webhook(receiver.url, headers={"Authorization": "Bearer hush-hush"})
        alerts = run(tmp_path, body, hook, webhook("http://127.0.0.1:9/hidden/path", name="dead"), grace=0.1)
    assert receiver.got[0].headers["authorization"] == "Bearer hush-hush"
    said = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert alerts.figures()["webhook"].rejected == 1
    assert "a notifier refuses a notice" in said
    for secret in ("t0psecret", "hush-hush", "hidden/path"):
        assert secret not in said
