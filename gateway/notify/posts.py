"""Notices as requests: PagerDuty's Events API version 2, Slack's incoming webhooks, plain JSON for any receiver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config.notify import Notifier, PagerDuty, Slack
from config.units import format_instant
from gateway.notify.alert import Action, Notice

_SUMMARY = 1024
"""Characters of a summary that PagerDuty takes."""
_DEDUP_KEY = 255
"""Characters of a dedup key that PagerDuty takes."""
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""What Slack wants escaped in a text."""


@dataclass(frozen=True, slots=True)
class Post:
    """A request: POST of JSON.

    Attributes:
        url: where; a secret, as are the headers.
        body: what becomes JSON.
        headers: beside Content-Type.
    """

    url: str = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def post_of(notifier: Notifier, notice: Notice) -> Post:
    """The request that tells a notifier of something."""
    url = notifier.url.get_secret_value()
    if isinstance(notifier, PagerDuty):
        return Post(url, _pagerduty(notifier, notice))
    if isinstance(notifier, Slack):
        return Post(url, {"text": _slack(notice)})
    headers = {name: value.get_secret_value() for name, value in notifier.headers.items()}
    return Post(url, _webhook(notice), headers)


def dedup_key(notifier: Notifier, key: str, source: str) -> str:
    """What ties the notices of one incident together."""
    own = notifier.incident_key if isinstance(notifier, PagerDuty) else ""
    return own or f"weir/{source}/{key}"[:_DEDUP_KEY]


def _pagerduty(notifier: PagerDuty, notice: Notice) -> dict[str, Any]:
    """An event, https://developer.pagerduty.com/docs/send-alert-event; a resolving one needs the keys alone."""
    alert = notice.alert
    event: dict[str, Any] = {
        "routing_key": notifier.key.get_secret_value(),
        "event_action": "trigger" if notice.action is Action.RAISED else "resolve",
        "dedup_key": dedup_key(notifier, alert.key, notice.source),
    }
    if notice.action is Action.RAISED:
        event["client"] = "Weir"
        event["payload"] = {
            "summary": alert.summary[:_SUMMARY],
            "source": notice.source,
            "severity": alert.severity,
            "timestamp": format_instant(alert.since),
            "component": alert.key,
            "class": alert.event,
            "custom_details": dict(alert.details),
        }
    return event


def _slack(notice: Notice) -> str:
    alert = notice.alert
    if notice.action is Action.RESOLVED:
        return f":white_check_mark: *{_plain(notice.source)}*: over: {_plain(alert.summary)}"
    details = "".join(f"\n{_plain(name)}: {_plain(value)}" for name, value in alert.details.items())
    return f":rotating_light: *{_plain(notice.source)}*: {_plain(alert.summary)}{details}"


def _plain(text: str) -> str:
    return text.translate(_ESCAPES)


def _webhook(notice: Notice) -> dict[str, Any]:
    alert = notice.alert
    body: dict[str, Any] = {
        "action": notice.action.value,
        "key": alert.key,
        "event": alert.event,
        "summary": alert.summary,
        "severity": alert.severity,
        "details": dict(alert.details),
        "source": notice.source,
        "raised_at": format_instant(alert.since),
    }
    if notice.action is Action.RESOLVED:
        body["resolved_at"] = format_instant(notice.at)
    return body
