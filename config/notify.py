"""Settings of notifiers: who is told when something is wrong with a relay or with the server itself."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from config.items import Hidden, Item, Span, read_items
from config.units import SECOND, Kind, Names

EVENTS = ("relay", "disk", "sync", "flush", "block")
"""What can be told of: a relay that cannot deliver; pushes refused as nothing can be written; a sync of the log that
failed; flushes that fail; damaged blocks that were set aside."""

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
"""Where PagerDuty takes events of version 2; accounts of its EU region have events.eu.pagerduty.com."""


def _are_events(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in EVENTS]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: there is {', '.join(EVENTS)}")
    return names


def _is_url(url: SecretStr) -> SecretStr:
    scheme, found, rest = url.get_secret_value().partition("://")
    if scheme not in ("http", "https") or not found or not rest:
        raise ValueError("is not an http:// or https:// address")  # not shown: a Slack address is a secret
    return url


Events: TypeAlias = Annotated[Names, AfterValidator(_are_events)]
Url: TypeAlias = Annotated[Hidden, AfterValidator(_is_url)]


class _Notifier(Item):
    name: str = ""
    """Its name in the log and in metrics; empty: its kind."""
    events: Events = EVENTS
    """What it is told of."""
    repeat: Span = 0
    """Time after which it is told again of what still goes on; 0: once is enough."""
    timeout: Span = 10 * SECOND
    """Time that one request may take."""
    ca: str = ""
    """File with the authorities (PEM) that the receiver's certificate is checked with, or their PEM text; empty: those
    that are generally trusted."""
    source: str = ""
    """What it calls this server; empty: `instance_name`."""

    def label(self) -> str:
        """Its name, or its kind where it has none."""
        return self.name or str(getattr(self, "kind", ""))


class PagerDuty(_Notifier):
    """PagerDuty, by its Events API version 2."""

    kind: Literal["pagerduty"]
    key: Hidden
    """The integration key (routing key) of a service."""
    url: Url = SecretStr(PAGERDUTY)
    """Where events are sent."""
    incident_key: str = ""
    """The dedup key of all events: there is one incident, which ends with the last of what is wrong. Empty: each thing
    that is wrong has a key, and so an incident, of its own."""


class Slack(_Notifier):
    """Slack, by an incoming webhook."""

    kind: Literal["slack"]
    url: Url
    """The webhook's address, which is a secret."""


class Webhook(_Notifier):
    """Any receiver of JSON by POST."""

    kind: Literal["webhook"]
    url: Url
    """Where it is sent."""
    headers: dict[str, Hidden] = Field(default_factory=dict)
    """More headers, such as Authorization."""


def _have_names(notifiers: tuple[Notifier, ...]) -> tuple[Notifier, ...]:
    names = [one.label() for one in notifiers]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two are called {', '.join(sorted(twice))}: give each a name of its own")
    return notifiers


Notifier: TypeAlias = Annotated[PagerDuty | Slack | Webhook, Field(discriminator="kind")]
Notifiers: TypeAlias = Annotated[
    tuple[Notifier, ...],
    BeforeValidator(read_items),
    AfterValidator(_have_names),
    Kind(
        "notifiers",
        "a list of notifiers, each with a kind (pagerduty, slack, webhook) and what that needs (in a variable or a "
        "flag: as one line of YAML)",
        items=True,
    ),
]
