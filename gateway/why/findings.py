"""What may keep a line from who looks for it, in sentences: the server's answer to `weir why`.

Each check looks at one thing and says what it found. They are asked in the order in which a line comes to be seen: was
it refused, was it stored, is it hidden. For a worker thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from config.units import format_duration, format_instant
from gateway.rejected.routes import Refusal
from gateway.retention_rules import retention_options
from gateway.state import Gateway, LogStore
from gateway.why.advice import STORED, advice
from gateway.why.limits import NEAR, Use
from gateway.why.typos import guesses
from logql import LogQLError, Matcher, choice
from logql.source import MatchOp
from storage import DeleteStatus, StreamActivity, StreamRule
from storage.batch import Labels
from storage.labels import labels_text
from storage.retention import accepts

_MS, _SECOND = 1_000_000, 1_000_000_000
_LATE = 10 * 60 * _SECOND
"""ns between an entry's time and its arrival from which its clock is worth a word."""
_SHOWN = 120
"""Characters of a line in a sentence."""


_CALLING_OFF = {
    DeleteStatus.RECEIVED: "It can be called off with `weir delete cancel` until it is carried out.",
    DeleteStatus.STARTED: "What is left of it can be called off with `weir delete cancel --force`.",
}


class Level(StrEnum):
    """How much a finding explains."""

    CAUSE = "cause"
    HINT = "hint"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found.

    Attributes:
        about: what: rejected, streams, clock, retention, deletes, damage, lookback, limits, server.
        level: how much it explains.
        text: in a sentence or two.
        advice: what to do, "" for nothing.
    """

    about: str
    level: Level
    text: str
    advice: str = ""

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"about": self.about, "level": self.level, "text": self.text, "advice": self.advice}


@dataclass(frozen=True, slots=True)
class Looking:
    """What is looked for, and what is known of it.

    Attributes:
        gateway: of the server.
        store: of all tenants.
        tenants: whose.
        matchers: of the selector; none: any stream.
        start, end: ns.
        now: ns.
        matching: streams that match.
        streams: the last of them that wrote.
        refused: what was refused that may be of them.
        uses: of limits.
    """

    gateway: Gateway
    store: LogStore
    tenants: tuple[str, ...]
    matchers: tuple[Matcher, ...]
    start: int
    end: int
    now: int
    matching: int
    streams: list[StreamActivity]
    refused: list[Refusal]
    uses: list[Use]


def findings(looking: Looking) -> list[Finding]:
    """All there is to say, what explains most first."""
    checks = (_refused, _streams, _clock, _lookback, _retention, _deletes, _damage, _limits, _server)
    found = [finding for check in checks for finding in check(looking)]
    order = list(Level)
    return sorted(found, key=lambda finding: order.index(finding.level))


def _refused(looking: Looking) -> Iterator[Finding]:
    for refusal in looking.refused:
        reason = refusal.reason
        count = _counted(reason.lines, "line") if reason.lines else _counted(reason.requests, "request")
        entry = refusal.entries[0] if refusal.entries else None
        is_own = entry is not None and entry.sample.labels is not None
        text = f"Refused as {reason.name}: {count}, the last at {_time(reason.last)}"
        if entry is not None:
            sender, sample = entry.sender, entry.sample
            text += f", from {sender.address}{f' ({sender.agent})' if sender.agent else ''} by {sender.door}"
            if sample.labels is not None:
                text += f", of {labels_text(sample.labels)}"
            if sample.error:
                text += f": {sample.error.rstrip(chr(10))}"
            if sample.line:
                line = sample.line.decode("utf-8", "replace")
                text += f" The line began: {line[:_SHOWN]}"
        level = Level.CAUSE if is_own and reason.name not in STORED else Level.HINT
        yield Finding("rejected", level, text, advice(reason.name))


def _streams(looking: Looking) -> Iterator[Finding]:
    if not looking.streams:
        for tenant in looking.tenants:
            for text in guesses(looking.store, tenant, looking.matchers):
                yield Finding("streams", Level.CAUSE, text)
        return
    last = looking.streams[0]
    inside = [one for one in looking.streams if one.rows]
    when = f"The last entry is of {_time(last.last)}, in {labels_text(last.labels)}"
    if inside:
        rows = sum(one.rows for one in inside)
        text = f"{_match(looking.matching)}; {_counted(rows, 'line')} of those that wrote last in this time. {when}."
        yield Finding("streams", Level.FINE, text)
        return
    between = f"between {_time(looking.start)} and {_time(looking.end)}"
    text = f"{_match(looking.matching)}, but without an entry {between}. {when}."
    outside = last.last < looking.start or last.last > looking.end
    yield Finding("streams", Level.CAUSE, text, "Ask for a time that has it." if outside else "")


def _match(streams: int) -> str:
    return "1 stream matches" if streams == 1 else f"{streams:,} streams match"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _time(ns: int) -> str:
    """A time for a person, to the millisecond."""
    return format_instant(ns // _MS * _MS)


def _clock(looking: Looking) -> Iterator[Finding]:
    ahead = [one for one in looking.streams if one.last > looking.now + _SECOND]
    if ahead:
        one = max(ahead, key=lambda each: each.last)
        text = (
            f"{labels_text(one.labels)} has entries of {_time(one.last)}, which is in the future: queries up "
            "to now do not show them."
        )
        yield Finding("clock", Level.CAUSE, text, "Check the sender's clock, time zone and unit of time.")
    late = [one for one in looking.streams if one.arrived and one.arrived - one.last > _LATE]
    if late:
        one = max(late, key=lambda each: each.arrived)
        text = (
            f"{labels_text(one.labels)} came in last at {_time(one.arrived)}, but its newest entry is of "
            f"{_time(one.last)}: its times are behind."
        )
        yield Finding("clock", Level.CAUSE, text, "Check the sender's clock and backlog, or ask for that time.")


def _lookback(looking: Looking) -> Iterator[Finding]:
    for tenant in looking.tenants:
        longest = looking.gateway.settings.limits_for(tenant).max_query_lookback
        if longest and looking.start < looking.now - longest:
            text = f"Queries see nothing older than {format_duration(longest)}, and this time begins before that."
            yield Finding("lookback", Level.HINT, text, "Raise limits.max_query_lookback.")


def _retention(looking: Looking) -> Iterator[Finding]:
    expired = [one for one in looking.streams if one.is_expired]
    if expired:
        text = (
            f"Of {_counted(len(expired), 'stream')} all entries have expired, as of {labels_text(expired[0].labels)}."
        )
        yield Finding("retention", Level.CAUSE, text, "Keep them longer: retention.period, limits.retention_stream.")
    options = retention_options(looking.gateway.settings)
    for tenant in looking.tenants:
        rules = options.rules_of(tenant)
        periods = {_period(rules.period, rules.streams, one.labels) for one in looking.streams}
        if not looking.streams:
            periods = {rules.period}
        short = sorted(period for period in periods if period and looking.start < looking.now - period)
        if short:
            text = f"This time begins before what retention keeps of these streams: {format_duration(short[0])}."
            yield Finding("retention", Level.HINT, text, "Keep it longer: retention.period, limits.retention_stream.")


def _period(period: int, rules: Sequence[StreamRule], labels: Labels) -> int:
    """How long a stream is kept, ns; 0: for ever. Of the rules, which are in order, the first that matches counts."""
    return next((rule.period for rule in rules if accepts(rule.matchers, labels)), period)


def _deletes(looking: Looking) -> Iterator[Finding]:
    named = tuple((one.name, one.value) for one in looking.matchers if one.op is MatchOp.EQ)
    sets = [one.labels for one in looking.streams] or [named]
    for tenant in looking.tenants:
        for each in looking.store.deletes(tenant):
            record = each.record
            if record.status is DeleteStatus.CANCELLED or record.last < looking.start or record.first > looking.end:
                continue
            try:
                matchers, _ = choice(record.query)
            except LogQLError:
                continue  # of an earlier version's grammar
            if any(accepts(matchers, labels) for labels in sets):
                since = f"{_time(record.first)} to" if record.first > 0 else "all times up to"
                text = (
                    f"A delete took entries of {since} {_time(record.last)} away: "
                    f"{record.query[:200]} (asked for by {record.who} at {_time(record.created)}, id "
                    f"{record.id})."
                )
                yield Finding("deletes", Level.CAUSE, text, _CALLING_OFF.get(record.status, ""))


def _damage(looking: Looking) -> Iterator[Finding]:
    for tenant in looking.tenants:
        for text in looking.store.missing(tenant, looking.start, looking.end + 1):
            yield Finding(
                "damage",
                Level.CAUSE,
                text,
                "Its file is in quarantine/ of the data directory, with a .json beside it that says what is wrong.",
            )


def _limits(looking: Looking) -> Iterator[Finding]:
    for use in looking.uses:
        if use.share >= NEAR:
            text = f"{use.setting} is near its edge: {use.used:,.0f} of {use.limit:,.0f} {use.unit} ({use.what})."
            yield Finding("limits", Level.HINT, text, f"Raise {use.setting}, or send less.")


def _server(looking: Looking) -> Iterator[Finding]:
    figures = looking.store.figures()
    if figures.counters.refusing or not figures.reserve_held:
        text = "The server refuses pushes at the moment: the disk is full or cannot be written."
        yield Finding("server", Level.CAUSE, text, "See /health and the server's log.")
