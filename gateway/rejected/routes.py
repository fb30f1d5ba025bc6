"""GET /weir/v1/rejected: what was refused, by reason."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from config.settings import Tenancy
from gateway.auth import GRANT, Grant, Scope, tenants_of
from gateway.query.params import every, first
from gateway.query.request import read_form
from gateway.query.times import parse_duration
from gateway.rejected.journal import Entry, Journal, Reason
from gateway.why.advice import STORED, advice
from gateway.why.streams import selector_of
from logql import Matcher
from logql.stages.label_match import LabelMatch


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was refused for one reason, as far as it is asked for.

    Attributes:
        reason: all of it.
        entries: the last first.
    """

    reason: Reason
    entries: tuple[Entry, ...]

    def told(self) -> dict[str, Any]:
        """As JSON has it: times in ns as text."""
        reason = self.reason
        return {
            "reason": reason.name,
            "tenant": reason.tenant,
            "advice": advice(reason.name),
            "stored": reason.name in STORED,
            "lines": reason.lines,
            "bytes": reason.bytes,
            "requests": reason.requests,
            "first": str(reason.first),
            "last": str(reason.last),
            "samples": [_told(entry) for entry in self.entries],
        }


def refusals(
    journal: Journal,
    tenants: Sequence[str],
    tests: Sequence[LabelMatch] = (),
    *,
    strangers: bool,
    since: int = 0,
    reasons: Sequence[str] = (),
) -> Iterator[Refusal]:
    """What was refused of some tenants, and of nobody's, from `since` (ns) on, the last first.

    With tests: what is of a stream that passes them, and what came to no stream and may be of any. Without `strangers`
    nobody's are counted only.
    """
    for reason in journal.of(tenants):
        if reason.last < since or (reasons and reason.name not in reasons):
            continue
        if not reason.tenant and not strangers:
            yield Refusal(reason, ())
            continue
        entries = tuple(entry for entry in reversed(reason.entries.values()) if entry.last >= since)
        kept = tuple(entry for entry in entries if _matches(entry, tests))
        if kept or not entries:
            yield Refusal(reason, kept)


def sees_strangers(request: Request) -> bool:
    """Whether a request may see lines and addresses of what was refused of nobody: it may be anybody's.

    Where there is one tenant it is that one's; of several only the administrator may know.
    """
    grant: Grant | None = request.scope.get(GRANT)
    if grant is not None and grant.tenant:
        return False
    tenancy: Tenancy = request.app.state.gateway.settings.tenancy
    return not tenancy.enabled or (grant is not None and grant.allows(Scope.ADMIN))


def tests_of(text: str) -> tuple[tuple[Matcher, ...], list[LabelMatch]]:
    """The matchers of a selector, and what tells whether labels pass them. Raises LogQLError; may take a while."""
    matchers = selector_of(text)
    return matchers, [LabelMatch.of(matcher) for matcher in matchers]


def _matches(entry: Entry, tests: Sequence[LabelMatch]) -> bool:
    if entry.sample.labels is None:
        return True
    values = dict(entry.sample.labels)
    return all(test.accepts(values.get(test.name, "")) for test in tests)


def _told(entry: Entry) -> dict[str, Any]:
    sample, sender = entry.sample, entry.sender
    return {
        "door": sender.door,
        "client": sender.address,
        "userAgent": sender.agent,
        "stream": None if sample.labels is None else dict(sample.labels),
        "error": sample.error.encode("utf-8", "replace").decode(),
        "line": None if sample.line is None else sample.line.decode("utf-8", "replace"),
        "lineBytes": sample.whole,
        "timestamp": None if sample.ts is None else str(sample.ts),
        "count": entry.count,
        "first": str(entry.first),
        "last": str(entry.last),
    }


async def rejected(request: Request) -> Response:
    """What was refused of the tenant, and of nobody's, since the server started."""
    journal: Journal = request.app.state.gateway.rejected
    tenants = tenants_of(request)
    form = await read_form(request)
    text = first(form, "since")
    since = time.time_ns() - parse_duration(text) if text else 0
    _, tests = await anyio.to_thread.run_sync(tests_of, first(form, "query"))
    # The journal is the event loop's.
    found = refusals(
        journal, tenants, tests, strangers=sees_strangers(request), since=since, reasons=every(form, "reason")
    )
    said = {"rejected": [one.told() for one in found], "notLookedAt": journal.unseen}
    return Response(msgspec.json.encode(said) + b"\n", media_type="application/json")
