"""What is told to people: that something is wrong, and that it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """What a notice says of its alert."""

    RAISED = "raised"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that is wrong.

    Attributes:
        key: which thing: `relay/archive`, `disk`; what stands before the slash is the kind of event.
        summary: one sentence.
        details: more of it, by name.
        severity: critical, error, warning or info.
        since: ns when it was raised.
    """

    key: str
    summary: str
    details: Mapping[str, str] = field(default_factory=dict)
    severity: str = "error"
    since: int = 0

    @property
    def event(self) -> str:
        """The kind of event, which notifiers are chosen by."""
        return self.key.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell a notifier.

    Attributes:
        action: what became of the alert.
        alert: of which.
        at: ns when that was.
        source: what this server is called.
    """

    action: Action
    alert: Alert
    at: int
    source: str
