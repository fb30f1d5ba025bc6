"""What the Fluent Forward door counts about itself; read by /metrics. Changed on the event loop's thread alone."""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass, field


@dataclass(slots=True)
class ForwardFigures:
    """Counts since the start.

    Attributes:
        listening: whether the door is open.
        connections: open now.
        accepted: connections that came.
        closed: connections that we ended, by reason.
        messages: messages read, by mode.
        dropped: messages that were acknowledged and have left nothing, by reason.
        damaged: payloads of which only a part could be unpacked.
        bad_entries: entries that could not be used, by reason.
        acks: acknowledgements sent.
        deduplicated: chunks that came again and were not stored again.
        heartbeats: UDP heartbeats answered.
        unsettled: messages read and not stored yet, now.
        buffered: bytes of messages that have come in part, now, beyond what each connection may hold anyway.
    """

    listening: bool = False
    connections: int = 0
    accepted: int = 0
    closed: Tally[str] = field(default_factory=Tally)
    messages: Tally[str] = field(default_factory=Tally)
    dropped: Tally[str] = field(default_factory=Tally)
    damaged: int = 0
    bad_entries: Tally[str] = field(default_factory=Tally)
    acks: int = 0
    deduplicated: int = 0
    heartbeats: int = 0
    unsettled: int = 0
    buffered: int = 0
