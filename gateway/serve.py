"""One server's life: bind, open the store, serve, drain, close.

The socket listens before the store is open, so that a long replay is seen as `/ready` 503 and not as a refused
connection; everything else is answered 503 until then.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa

from config import Settings
from gateway import logs
from gateway.allocator import give_back_code_of, keep_freed_memory
from gateway.app import create_app
from gateway.auth.watch import KeyWatch
from gateway.collect.inside import Inside
from gateway.exposure import warn_if_open
from gateway.forward.intake import Mapper
from gateway.forward.listener import ForwardListener, Sockets, open_sockets
from gateway.forward.mapping import compile_rules, map_entries
from gateway.listener import CannotListen, Listener, bind, url_of
from gateway.logs import event
from gateway.metrics import Metrics
from gateway.notify.watch import StateWatch
from gateway.overrides import OverridesSource, OverridesWatch
from gateway.push.streams import TenantStreams
from gateway.query.pool import QueryPool
from gateway.relay.build import build_relays
from gateway.state import ByteBudget, Gateway, Phase
from gateway.store_options import store_options
from gateway.tls import BadTls, Tls, TlsWatch, http_tls
from gateway.tls_accept import Handshakes
from logql import parse
from storage import ReplayProgress, Store, open_store
from storage.errors import StorageError
from storage.memory import give_back

_log = logging.getLogger("weir.serve")

SWITCH_INTERVAL = 0.0005
"""Seconds a thread keeps the interpreter when others want it: with Python's 5 ms, push p99 beside four busy threads was
285 ms instead of 22."""

YOUNG_OBJECTS = 10_000
"""Objects made and not yet freed after which the collector of cycles looks at them; Python's 700 are a few requests."""

PROGRESS_EVERY = 5.0
"""Seconds between log lines of a long replay."""

COLLECTOR_WAIT = 5.0
"""Seconds that batches of the collector under way get to be stored at a stop; the next start sends the others."""

NOTIFIERS_WAIT = 2.0
"""Seconds that notices under way get to arrive at a stop; the next start tells the others."""

_NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Opened:
    """How opening the store ended: one of the two is set."""

    store: Store | None = None
    error: BaseException | None = None


def serve(settings: Settings, notes: Sequence[str] = (), overrides: OverridesSource | None = None) -> int:
    """Serves until SIGTERM or SIGINT.

    Args:
        settings: in force.
        notes: what loading them had to say, logged once at the start.
        overrides: where the limits of single tenants are written, which are to be watched.

    Returns:
        0 after a clean end; 1 if it could not start, requests had to be cut, or the store did not close.
    """
    metrics = Metrics(weir_version())
    logs.configure(settings.log.level, settings.log.format, metrics.logged)
    _tune()
    try:
        tls = http_tls(settings)
        with bind(settings) as bound, open_sockets(settings) or nullcontext() as forward, asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(_on_loop_error)
            return runner.run(_Server(settings, metrics, bound, tls, forward, notes, overrides).run())
    except (CannotListen, BadTls) as error:
        event(_log, logging.ERROR, str(error))
        return 1


def weir_version() -> str:
    """The installed package's version."""
    try:
        return version("weir")
    except PackageNotFoundError:
        return "unknown"


def _tune() -> None:
    sys.setswitchinterval(SWITCH_INTERVAL)
    keep_freed_memory()
    # Arrow's own allocator: the system's gave memory back after each row group and paid for it in page faults.
    if "mimalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.mimalloc_memory_pool())
    # A connection is a file; the usual soft limit of 1024 is below server.max_connections plus open blocks.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _spare_the_collector() -> None:
    """Takes all that was made until now out of the collector's sight: modules and tables that stay to the end.

    Else it looks at these 150,000 objects every few thousand requests: a tenth of a push's cost, and a pause of 80 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _on_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    event(_log, logging.ERROR, str(context.get("message", "event loop error")), exc_info=error)


def _mapper(settings: Settings) -> Mapper:
    return partial(map_entries, rules=compile_rules(settings.forward.mapping, settings.limits))


def _bound_mapper(settings: Settings) -> Mapper:
    """For senders whose keys are for one tenant: what an entry names has no say."""
    mapping = settings.forward.mapping.model_copy(update={"tenant_key": "", "tenant_option": ""})
    return partial(map_entries, rules=compile_rules(mapping, settings.limits))


async def _first_of(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


class _Server:
    """One run of serve()."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        bound: socket.socket,
        tls: Tls | None,
        forward: Sockets | None,
        notes: Sequence[str],
        overrides: OverridesSource | None,
    ) -> None:
        self._settings = settings
        self._notes = notes
        self._url = url_of(bound, "http" if tls is None else "https")
        server = settings.server
        self._gateway = Gateway(
            settings=settings,
            metrics=metrics,
            stream_states=TenantStreams(),
            queries=QueryPool(settings.query.threads, settings.query.max_concurrent),
            ingest=ByteBudget(server.ingest_in_flight, server.push_wait / _NS_PER_SECOND),
        )
        self._overrides = OverridesWatch(self._gateway, overrides) if overrides is not None else None
        self._gateway.relays = build_relays(settings, metrics.version)
        metrics.attach(self._gateway)
        self._gateway.tls = [one for one in (tls, forward.tls if forward is not None else None) if one is not None]
        self._tls = TlsWatch(self._gateway.tls) if self._gateway.tls else None
        self._keys = KeyWatch(self._gateway) if settings.auth.enabled else None
        handshakes = Handshakes(tls, self._gateway) if tls is not None else None
        self._listener = Listener(create_app(self._gateway), settings, metrics, bound, handshakes)
        self._collector = Inside(self._gateway)
        self._forward: ForwardListener | None = None
        if forward is not None:
            self._forward = ForwardListener(self._gateway, forward, _mapper(settings), _bound_mapper(settings))
        self._watching: asyncio.Future[None] | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._progress_logged = time.monotonic()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        if self._overrides is not None or self._tls is not None:
            loop.add_signal_handler(signal.SIGHUP, self._on_hup)
        await self._listener.start()
        opening = self._open_store()
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await _first_of(opening, stopping)
            if opening.done():
                if (error := opening.result().error) is not None:
                    return self._refused(error)
                await self._ready(opening.result().store)
                with self._watched_overrides(), self._watched_access():
                    await stopping
            return await self._end(opening)
        finally:
            stopping.cancel()

    @contextmanager
    def _watched_overrides(self) -> Iterator[None]:
        """The limits of tenants are read again when they change, or on SIGHUP, for the time of the block."""
        if (watch := self._overrides) is None:
            yield
            return
        watching = asyncio.ensure_future(watch.run(self._settings.tenancy.overrides_period))
        try:
            yield
        finally:
            watching.cancel()

    @contextmanager
    def _watched_access(self) -> Iterator[None]:
        """Keys and certificates are read again when they change, for the time of the block."""
        some = []
        if self._keys is not None:
            some.append(asyncio.ensure_future(self._keys.run()))
        if self._tls is not None:
            some.append(asyncio.ensure_future(self._tls.run(self._settings.tls.reload_period)))
        try:
            yield
        finally:
            for watching in some:
                watching.cancel()

    def _on_hup(self) -> None:
        """Files are read again, whether or not they look changed."""
        if self._overrides is not None:
            self._overrides.ask()
        if self._tls is not None:
            self._tls.ask()

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
            self._gateway.relays.hurry()
        self._stop.set()

    def _open_store(self) -> asyncio.Future[Opened]:
        """Opens the store in a thread of its own: a daemon, so that a replay which outlasts a stop cannot hold it."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Opened] = loop.create_future()

        def deliver(run: Callable[[], None]) -> None:
            loop.call_soon_threadsafe(run)

        def progress(now: ReplayProgress) -> None:
            loop.call_soon_threadsafe(self._on_progress, now)

        def open_it() -> None:
            try:
                options = replace(
                    store_options(self._settings, lambda: self._gateway.settings), patterns=self._gateway.patterns
                )
                store = open_store(self._settings.data_dir, options, deliver, progress)
                result = Opened(store=store)
            except BaseException as error:  # noqa: BLE001 - handed to the loop, which ends the server with it
                result = Opened(error=error)
            with suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(opened.set_result, result)
            # Builds the parser (0.1 s) before the first query would, on the event loop.
            parse('{ready="soon"}')
            _spare_the_collector()
            give_back_code_of("llvmlite")
            give_back()

        threading.Thread(target=open_it, name="open-store", daemon=True).start()
        return opened

    def _on_progress(self, now: ReplayProgress) -> None:
        self._gateway.progress = (
            f"replaying the WAL: {now.segments_done} of {now.segments} segments, {now.entries} entries"
        )
        if time.monotonic() - self._progress_logged >= PROGRESS_EVERY:
            self._progress_logged = time.monotonic()
            event(_log, logging.INFO, self._gateway.progress, url=self._url)

    async def _ready(self, store: Store | None) -> None:
        assert store is not None
        if self._keys is not None:
            await self._keys.start()
        await self._gateway.alerts.start(self._settings.data_dir)
        # Before the first push: what a new relay is to send begins where it is subscribed.
        await self._gateway.relays.start(store, self._gateway.alerts)
        self._gateway.alerts.keep_relays(relay.name for relay in self._gateway.relays.known())
        self._gateway.opened(store)
        watch = StateWatch(self._gateway.alerts, self._settings.data_dir)
        self._watching = asyncio.ensure_future(watch.run(store.condition))
        if self._forward is not None:
            await self._forward.start()
        self._collector.start()
        forward = self._forward
        warn_if_open(
            self._settings,
            self._url,
            forward.address if forward is not None else None,
            forward_certificates=forward is not None and forward.wants_certificates,
        )
        for note in self._notes:
            event(_log, logging.WARNING, note)  # not INFO: a Loki file often says log_level: warn
        replay = store.figures().replay
        event(
            _log,
            logging.INFO,
            f"listening on {self._url}",
            forward=self._forward.address if self._forward is not None else "off",
            data_dir=str(self._settings.data_dir.absolute()),
            version=self._gateway.metrics.version,
            replayed_segments=replay.segments,
            replayed_entries=replay.entries,
            replay_seconds=round(replay.seconds, 3),
        )

    def _refused(self, error: BaseException) -> int:
        expected = isinstance(error, StorageError | OSError)
        event(_log, logging.ERROR, f"cannot open the store: {error}", exc_info=None if expected else error)
        return 1

    async def _end(self, opening: asyncio.Future[Opened]) -> int:
        gateway = self._gateway
        gateway.phase = Phase.STOPPING
        event(_log, logging.INFO, "stopping", requests=len(gateway.requests))
        gateway.tails.stop()
        deadline = time.monotonic() + self._settings.server.shutdown_timeout / _NS_PER_SECOND
        await self._collector.stop(min(COLLECTOR_WAIT, deadline - time.monotonic()))
        relays = asyncio.ensure_future(gateway.relays.stop(deadline - time.monotonic()))
        was_cut = await self._drain(deadline)
        await relays
        if self._watching is not None:
            self._watching.cancel()
        code = await self._close_store(opening, deadline)
        await gateway.alerts.stop(NOTIFIERS_WAIT)
        gateway.queries.close()
        gateway.exports.close()
        event(_log, logging.INFO, "stopped", cut=was_cut)
        return 1 if was_cut else code

    async def _drain(self, deadline: float) -> int:
        """Lets requests in flight end until the deadline or a second signal; returns how many were cut."""
        draining = asyncio.ensure_future(self._stop_listening(max(0.0, deadline - time.monotonic())))
        hurrying = asyncio.ensure_future(self._hurry.wait())
        await _first_of(draining, hurrying)
        hurrying.cancel()
        if draining.done() and draining.result():
            return 0
        left = list(self._gateway.requests)
        for request in left:
            event(
                _log,
                logging.ERROR,
                f"cut at shutdown: {request}",
                method=request.method,
                path=request.path,
                client=request.client,
                age=round(time.monotonic() - request.started, 1),
            )
        draining.cancel()
        await self._listener.cut()
        senders = await self._forward.cut() if self._forward is not None else 0
        if senders:
            event(_log, logging.ERROR, "cut at shutdown: senders of Fluent Forward", connections=senders)
        return len(left) + senders

    async def _stop_listening(self, seconds: float) -> bool:
        """Ends both doors at once; whether all that was in flight ended in time."""
        forward = self._forward.stop(seconds) if self._forward is not None else asyncio.sleep(0, True)
        return all(await asyncio.gather(self._listener.stop(seconds), forward))

    async def _close_store(self, opening: asyncio.Future[Opened], deadline: float) -> int:
        if not opening.done():
            await asyncio.wait({opening}, timeout=max(0.0, deadline - time.monotonic()))
        if not opening.done():
            event(_log, logging.ERROR, f"cut at shutdown: {self._gateway.progress}")
            return 1
        store = opening.result().store
        if store is None:
            return self._refused(opening.result().error or RuntimeError("no store"))
        if self._keys is not None:
            await asyncio.to_thread(self._keys.close)
        await asyncio.to_thread(self._gateway.patterns.close)
        try:
            await asyncio.to_thread(store.close)
        except (StorageError, OSError) as error:
            event(_log, logging.ERROR, f"the store did not close: {error}")
            return 1
        return 0
