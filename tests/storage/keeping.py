"""What the tests of retention share: a clock that they set, rules, stores that remove only what they are asked to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from storage import CompactionOptions, RetentionOptions, Store, StoreOptions, StreamRule, TenantRules, open_store
from tests.storage.entries import NOON, Matcher, quiet


@dataclass
class Clock:
    """A time of day that a test sets."""

    now: int = NOON

    def __call__(self) -> int:
        return self.now


def rule(text: str, period: int, priority: int = 0) -> StreamRule:
    """A rule of matchers like `app="a"`, with commas between."""
    matchers = []
    for part in text.split(","):
        op = next(op for op in ("=~", "!~", "!=", "=") if op in part)
        name, _, value = part.partition(op)
        matchers.append(Matcher(name, op, value.strip('"')))
    return StreamRule(tuple(matchers), period, priority, text)


def keeping(*rules: StreamRule, period: int = 0, **tenants: TenantRules) -> RetentionOptions:
    return RetentionOptions(TenantRules(period, rules), tenants)


def opened(folder: Path, retention: RetentionOptions, clock: Clock, options: StoreOptions | None = None) -> Store:
    """A store that expires only what a test asks it to, by the test's clock."""
    options = replace(options or quiet(), retention=retention, clock=clock, compaction=CompactionOptions(enabled=False))
    return open_store(folder, options)


def later(store: Store, clock: Clock, now: int) -> None:
    """Sets the clock on, as if the server had been running until then."""
    clock.now = now
    steady = store._expiry._floors.clock
    steady._time = now
    steady._save()
