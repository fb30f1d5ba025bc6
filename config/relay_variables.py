"""Variables under which others know the settings of a server that passes logs on: UPSTREAM_*, PORT and the like.

Empty says nothing, as where a container is given a variable that is not set. Nothing here shows a value that may be a
key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.address import split_address
from config.aggregator import Given
from config.units import parse_duration


@dataclass(frozen=True, slots=True)
class Port:
    """A port that goes into whatever address a setting has."""

    number: int

    def of(self, address: object) -> str:
        """The address with this port; every interface of none that is one."""
        host = ""
        if isinstance(address, str) and ":" in address:
            host = address.rpartition(":")[0]
        return f"{host}:{self.number}"


def _seconds(text: str) -> str:
    """A bare number is seconds."""
    if text.replace(".", "", 1).isdigit():
        text = f"{text}s"
    try:
        parse_duration(text)
    except ValueError:
        raise ValueError("is neither a number of seconds nor a duration such as 500ms, 60s, 1m30s") from None
    return text


def _compression(text: str) -> str:
    """true: gzip."""
    found = {"true": "gzip", "1": "gzip", "false": "none", "0": "none"}.get(text.lower(), text.lower())
    if found not in ("gzip", "snappy", "none"):
        raise ValueError("is not true, false, gzip, snappy or none")
    return found


_LEVELS = {"trace": "debug", "warning": "warn", "critical": "error", "fatal": "error"}


def _level(text: str) -> str:
    found = _LEVELS.get(text.lower(), text.lower())
    if found not in ("debug", "info", "warn", "error"):
        raise ValueError("is not debug, info, warn or error")
    return found


def _port(text: str) -> Port:
    try:
        return Port(split_address(f":{text}")[1])
    except ValueError:
        raise ValueError("is not a port") from None


def _plain(text: str) -> str:
    return text


_READ: Final[Mapping[str, tuple[tuple[str, ...], Callable[[str], Any]]]] = {
    "UPSTREAM_ENABLED": (("upstream", "enabled"), str.lower),
    "UPSTREAM_SERVER": (("upstream", "url"), _plain),
    "UPSTREAM_API_KEY": (("upstream", "api_key"), _plain),
    "UPSTREAM_BATCH_SIZE": (("upstream", "batch_size"), _plain),
    "UPSTREAM_BATCH_INTERVAL": (("upstream", "batch_interval"), _seconds),
    "UPSTREAM_BATCH_SIZE_MIN": (("upstream", "batch_size_min"), _plain),
    "UPSTREAM_BATCH_SIZE_RECOVERY": (("upstream", "batch_size_recovery"), _plain),
    "UPSTREAM_COMPRESSION": (("upstream", "compression"), _compression),
    "UPSTREAM_TIMEOUT": (("upstream", "timeout"), _seconds),
    "INSTANCE_NAME": (("instance_name",), _plain),
    "LOG_LEVEL": (("log", "level"), _level),
    "PORT": (("server", "http"), _port),
}

NAMES: Final = {
    "UPSTREAM_ENABLED": "`upstream.enabled`: true or false",
    "UPSTREAM_SERVER": "`upstream.url`",
    "UPSTREAM_API_KEY": "`upstream.api_key`",
    "UPSTREAM_BATCH_SIZE": "`upstream.batch_size`",
    "UPSTREAM_BATCH_INTERVAL": "`upstream.batch_interval`: a number of seconds, or a duration",
    "UPSTREAM_BATCH_SIZE_MIN": "`upstream.batch_size_min`",
    "UPSTREAM_BATCH_SIZE_RECOVERY": "`upstream.batch_size_recovery`",
    "UPSTREAM_COMPRESSION": "`upstream.compression`: true is gzip, false is none; or gzip, snappy, none",
    "UPSTREAM_TIMEOUT": "`upstream.timeout`: a number of seconds, or a duration",
    "INSTANCE_NAME": "`instance_name`",
    "LOG_LEVEL": "`log.level`, in any case; also trace, warning, fatal and critical",
    "PORT": "the port of `server.http`, whose host stays",
}
"""Each variable and what it is here."""


def relay_settings(variables: Mapping[str, str]) -> Iterator[Given]:
    """What these among all variables say."""
    for name, (path, read) in _READ.items():
        text = variables.get(name, "").strip()
        if not text:
            continue
        try:
            yield Given(name, path, read(text))
        except ValueError as error:
            yield Given(name, problem=str(error))
