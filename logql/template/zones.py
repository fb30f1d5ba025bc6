"""Time zones: the IANA database by name, fixed offsets, and the local zone of the process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_EARLIEST = int(datetime(2, 1, 1, tzinfo=UTC).timestamp())
_LATEST = int(datetime(9998, 12, 31, tzinfo=UTC).timestamp())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Zone(Protocol):
    """A time zone."""

    @property
    def name(self) -> str:
        """Its name as Go's Location has it."""

    def at(self, seconds: int) -> tuple[int, str]:
        """Offset east of UTC in seconds, and abbreviation, at a moment in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class FixedZone:
    """An offset that never changes; the abbreviation may be empty."""

    abbreviation: str
    offset: int

    @property
    def name(self) -> str:
        """The abbreviation."""
        return self.abbreviation

    def at(self, seconds: int) -> tuple[int, str]:
        """The offset and abbreviation."""
        del seconds
        return self.offset, self.abbreviation


UTC_ZONE = FixedZone("UTC", 0)


@dataclass(frozen=True, slots=True)
class NamedZone:
    """A zone of the IANA database, perhaps under the name Local."""

    name: str
    info: ZoneInfo

    def at(self, seconds: int) -> tuple[int, str]:
        """Offset and abbreviation at a moment; those of year 2 or 9998 beyond what Python's dates hold."""
        moment = _EPOCH + timedelta(seconds=max(_EARLIEST, min(_LATEST, seconds)))
        local = moment.astimezone(self.info)
        offset = local.utcoffset()
        assert offset is not None
        return int(offset.total_seconds()), local.tzname() or ""


@lru_cache(maxsize=256)
def load_zone(name: str) -> Zone:
    """time.LoadLocation.

    Raises:
        LookupError: there is no such zone.
    """
    if name in {"", "UTC"}:
        return UTC_ZONE
    if name == "Local":
        return local_zone()
    if ".." in name or name.startswith(("/", "\\")) or "\0" in name:
        raise LookupError(name)
    try:
        return NamedZone(name, ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise LookupError(name) from error


@lru_cache(maxsize=1)
def local_zone() -> Zone:
    """The zone that TZ names; UTC without it, whatever the machine's clock shows."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if name in {"", "UTC", "Local"}:
        return UTC_ZONE
    try:
        found = load_zone(name)
    except LookupError:
        return UTC_ZONE
    return NamedZone("Local", found.info) if isinstance(found, NamedZone) else found
