"""From settings to relays: what each emitter does, and its sink."""

from __future__ import annotations

from collections.abc import Callable

from config import Settings
from config.emitters import Emitter, FileEmitter, LokiEmitter, StdoutEmitter
from gateway.emit.blackhole import BlackholeSink
from gateway.emit.file import FileOptions, FileSink
from gateway.emit.stdout import StdoutSink
from gateway.relay.sink import RelayOptions, Sink
from gateway.relay.to_loki import loki_sink

FOLDER = "emitters"
"""Of the data directory: where emitters keep what they must remember."""


def emitter_parts(settings: Settings, path: Callable[[], str], user_agent: str) -> list[tuple[RelayOptions, Sink]]:
    """The emitters of a server, as relays.

    Args:
        settings: of the server.
        path: gives X-Weir-Path of what is sent to another Weir.
        user_agent: of requests.

    Raises:
        OSError: a certificate cannot be read.
    """
    return [(relay_options(one, settings), _sink(one, settings, path, user_agent)) for one in settings.emitters]


def relay_options(emitter: Emitter, settings: Settings) -> RelayOptions:
    """What the relay of an emitter does."""
    of_all = settings.emit
    frequency = emitter.minimum_publish_frequency
    loki = emitter if isinstance(emitter, LokiEmitter) else None
    return RelayOptions(
        name=emitter.label(),
        batch_size=emitter.max_batch_size or of_all.max_batch_size,
        batch_interval=of_all.minimum_publish_frequency if frequency is None else frequency,
        selector=emitter.selector,
        add_labels=tuple(sorted(loki.add_labels.items())) if loki else (),
        tenant=loki.tenant if loki else "",
        notify_after=emitter.retries + 1,
        on_failure=emitter.on_failure,
        max_backlog=emitter.max_backlog,
    )


def _sink(emitter: Emitter, settings: Settings, path: Callable[[], str], user_agent: str) -> Sink:
    several = settings.tenancy.enabled
    match emitter:
        case FileEmitter():
            options = FileOptions(
                name=emitter.label(),
                path=emitter.path,
                journal=settings.data_dir / FOLDER / f"{emitter.label()}.journal",
                rotate_size=emitter.rotate_size,
                rotate_every=emitter.rotate_every,
                gzip=emitter.gzip,
                show_tenant=several and "{tenant}" not in emitter.path,
            )
            return FileSink(options)
        case StdoutEmitter():
            return StdoutSink(emitter.format, show_tenant=several)
        case LokiEmitter():
            return loki_sink(emitter, settings, path, user_agent)
        case _:
            return BlackholeSink()
