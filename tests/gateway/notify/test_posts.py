"""What PagerDuty and Slack are sent, and what becomes of their answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
import respx
from pydantic import TypeAdapter

from config.notify import Notifiers
from gateway.notify import Action, Alert, Notice
from gateway.notify.posts import post_of
from gateway.notify.sender import Again, Rejected, Sender, Sent

SINCE = 1_700_000_000_123_000_000
ALERT = Alert("relay/archive", "relay <archive> cannot deliver", {"error": "refused & closed"}, "error", SINCE)
PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
SLACK = "https://hooks.slack.com/services/T000/B000/s3cr3t"


def notifier(**fields: Any) -> Any:
    return TypeAdapter(Notifiers).validate_python([fields])[0]


def notice(action: Action) -> Notice:
    return Notice(action, ALERT, SINCE + 60_000_000_000, "edge-7")


def sent(to: Any, action: Action) -> Sent | Again | Rejected:
    async def main() -> Sent | Again | Rejected:
        sender = Sender(to)
        try:
            return await sender.send(post_of(to, notice(action)))
        finally:
            await sender.close()

    return asyncio.run(main())


@respx.mock
def test_pagerduty_gets_a_trigger_and_a_resolve_of_one_key() -> None:
    taken = respx.post(PAGERDUTY).mock(return_value=httpx.Response(202, json={"status": "success"}))
    to = notifier(kind="pagerduty", key="0123456789abcdef0123456789abcdef")
    for action in Action:
        assert sent(to, action) == Sent()
    trigger, resolve = (json.loads(call.request.content) for call in taken.calls)
    key = {"routing_key": "0123456789abcdef0123456789abcdef", "dedup_key": "weir/edge-7/relay/archive"}
    assert resolve == {"event_action": "resolve", **key}
    assert trigger == {
        "event_action": "trigger",
        **key,
        "client": "Weir",
        "payload": {
            "summary": "relay <archive> cannot deliver",
            "source": "edge-7",
            "severity": "error",
            "timestamp": "2023-11-14T22:13:20.123Z",
            "component": "relay/archive",
            "class": "relay",
            "custom_details": {"error": "refused & closed"},
        },
    }


@respx.mock
def test_an_incident_key_of_its_own_is_the_dedup_key() -> None:
    taken = respx.post("https://events.eu.pagerduty.com/v2/enqueue").mock(return_value=httpx.Response(202))
    to = notifier(
        kind="pagerduty", key="abc", url="https://events.eu.pagerduty.com/v2/enqueue", incident_key="logs-of-shop"
    )
    assert sent(to, Action.RAISED) == Sent()
    assert json.loads(taken.calls[0].request.content)["dedup_key"] == "logs-of-shop"


@respx.mock
def test_slack_gets_a_text_in_which_nothing_is_markup() -> None:
    taken = respx.post(SLACK).mock(return_value=httpx.Response(200, text="ok"))
    to = notifier(kind="slack", url=SLACK)
    for action in Action:
        assert sent(to, action) == Sent()
    raised, resolved = (json.loads(call.request.content) for call in taken.calls)
    assert raised == {
        "text": ":rotating_light: *edge-7*: relay &lt;archive&gt; cannot deliver\nerror: refused &amp; closed"
    }
    assert resolved == {"text": ":white_check_mark: *edge-7*: over: relay &lt;archive&gt; cannot deliver"}


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (429, {"Retry-After": "30"}, Again("status 429: no ***", 30.0)),
        (429, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, Again("status 429: no ***")),
        (503, {}, Again("status 503: no ***")),
        (408, {}, Again("status 408: no ***")),
        (400, {}, Rejected("status 400: no ***")),
        (404, {}, Rejected("status 404: no ***")),
        (302, {"Location": "https://elsewhere.example/"}, Rejected("status 302: no ***")),
    ],
)
def test_an_answer_says_whether_to_try_again_and_shows_no_secret(
    status: int, headers: dict[str, str], outcome: Again | Rejected
) -> None:
    with respx.mock:
        respx.post(SLACK).mock(return_value=httpx.Response(status, headers=headers, text=f"no {SLACK}"))
        assert sent(notifier(kind="slack", url=SLACK), Action.RAISED) == outcome


@pytest.mark.parametrize("error", [httpx.ConnectError("All connection attempts failed"), httpx.ReadTimeout("")])
def test_a_receiver_that_is_away_is_tried_again(error: httpx.TransportError) -> None:
    with respx.mock:
        respx.post(SLACK).mock(side_effect=error)
        outcome = sent(notifier(kind="slack", url=SLACK), Action.RAISED)
    assert outcome == Again(f"{type(error).__name__}: {error}".removesuffix(": "))


def test_authorities_that_cannot_be_read_are_told_by_name() -> None:
    outcome = sent(notifier(kind="slack", url=SLACK, ca="/nowhere/ca.pem"), Action.RAISED)
    assert isinstance(outcome, Again)
    assert "its ca cannot be used" in outcome.reason
