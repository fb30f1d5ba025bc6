"""A collector as the settings say."""

from __future__ import annotations

import resource
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from config.collector import Collector as Settings
from gateway.client.access import Access
from gateway.collect.delivery import Delivery
from gateway.collect.figures import CollectorFigures
from gateway.collect.followed import Reading
from gateway.collect.push import Target, target_of
from gateway.collect.rules import rules_of
from gateway.collect.run import Collector, Options

LONGEST_LINE = 1 << 20
"""Bytes of a line; what is longer is cut. Servers take 256 KB unless told otherwise."""

_NS = 1_000_000_000


def collector_of(
    settings: Settings,
    state: Path,
    connect: Callable[[], Delivery],
    *,
    figures: CollectorFigures | None = None,
    once: bool = False,
    shown: Callable[[], None] | None = None,
) -> Collector:
    """A collector.

    Args:
        settings: of it.
        state: the folder of what must outlast the process.
        connect: makes a way to the server, for each thread that sends.
        figures: counted on.
        once: end when all that is there is stored.
        shown: is called now and then, for somebody who watches.

    Raises:
        BadArgument: a setting is not what it should be.
    """
    # Each file that is followed is open.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    piece = max(1, min(settings.batch_size, LONGEST_LINE))
    reading = Reading(
        piece=piece,
        most=max(piece, LONGEST_LINE),
        settle=settings.multiline_wait / _NS,
        rotate_wait=settings.rotate_wait / _NS,
    )
    options = Options(
        state=state,
        reading=reading,
        batch_size=max(1, settings.batch_size),
        batch_wait=settings.batch_wait / _NS,
        in_flight=settings.in_flight,
        poll=max(0.01, settings.poll / _NS),
        scan=settings.scan / _NS,
        once=once,
    )
    return Collector(rules_of(settings), options, connect, figures, shown)


def target_of_settings(settings: Settings, url: str) -> Target:
    """The server at a URL, with what the settings show to it. Raises BadArgument."""
    access = Access(
        key=settings.api_key.get_secret_value() or None,
        ca=settings.tls_ca or None,
        cert=settings.tls_cert or None,
        client_key=settings.tls_key or None,
        insecure=settings.tls_insecure,
    )
    timeout = max(0.1, settings.timeout / _NS)
    return target_of(url, access, tenant=settings.tenant, timeout=timeout, agent=f"weir-collect/{_version()}")


def _version() -> str:
    try:
        return version("weir")
    except PackageNotFoundError:
        return "unknown"
