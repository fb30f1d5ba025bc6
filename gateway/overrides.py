"""Limits of single tenants that change while the server runs: their file is looked at, read again, and put in force.

A file that is wrong changes nothing: what held before holds on, the log says what is wrong, and a metric stays 0 until
it is mended. All of the file is taken, or nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from config import ConfigError, Settings
from gateway.logs import event
from gateway.retention_rules import retention_options
from gateway.state import Gateway
from gateway.watched_files import Watch, content_of, settled

_log = logging.getLogger("weir.overrides")


@dataclass(frozen=True, slots=True)
class OverridesSource:
    """Where limits of single tenants come from.

    Attributes:
        files: looked at for changes.
        load: the settings as they are now written, of which the overrides are taken. Raises ConfigError.
    """

    files: Sequence[Path]
    load: Callable[[], Settings]


class OverridesWatch(Watch):
    """Puts changed overrides in force. For the event loop; files are read on a thread."""

    def __init__(self, gateway: Gateway, source: OverridesSource) -> None:
        """`source` was read for the gateway's settings just now."""
        super().__init__()
        self._gateway = gateway
        self._source = source
        self._known = content_of(source.files)
        self._figures = gateway.overrides
        self._figures.changed = time.time()

    async def look(self, *, asked: bool) -> None:
        """Puts the files in force if they have changed, or it is asked for."""
        found = await asyncio.to_thread(content_of, self._source.files)
        if asked or found != self._known:
            self._known = await settled(self._source.files, found)
            await self._reload()

    async def _reload(self) -> None:
        gateway, figures = self._gateway, self._figures
        names = ", ".join(map(str, self._source.files))
        try:
            loaded = await asyncio.to_thread(self._source.load)
            if gateway.settings.overrides and not loaded.overrides:
                await asyncio.to_thread(self._refuse_empty)
            settings = gateway.settings.with_overrides(loaded.overrides)
            rules = retention_options(settings)
        except ConfigError as error:
            figures.is_good = False
            event(_log, logging.ERROR, f"the limits of tenants stay as they were: {error}", files=names)
            return
        except Exception as error:  # noqa: BLE001 - the watch outlives whatever stands in a file
            figures.is_good = False
            event(_log, logging.ERROR, "the limits of tenants stay as they were", files=names, exc_info=error)
            return
        gateway.settings = settings
        if (store := gateway.open_store) is not None:
            await asyncio.to_thread(store.set_retention, rules)
        figures.is_good, figures.changed = True, time.time()
        event(_log, logging.INFO, "the limits of tenants were read again", files=names, tenants=len(settings.overrides))

    def _refuse_empty(self) -> None:
        # What an editor or a full disk leaves of a file: without its overrides retention would remove what is kept.
        for file in self._source.files:
            if file.stat().st_size == 0:
                how = "write `overrides: {}` if no tenant is to have limits of its own"
                raise ConfigError([f"{file}: is empty; {how}"])
