"""The sink `stdout`: batches on standard output, for who reads the output of a container, or pipes it on.

A pipe says nothing of who has read what: after a crash a batch may be written again. Who reads slowly is waited for,
on a thread, in steps that a stop can end.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal
from uuid import UUID

from gateway.emit.rows import as_json, as_text, with_tenant
from gateway.relay.sink import Archived, Failed, Outcome, Outgoing

PATIENCE = 30.0
"""Seconds in which nothing is taken after which a try has failed; the next goes on where it stopped."""
_TICK = 0.1
"""Seconds between two looks at whether to stop."""


class StdoutSink:
    """Standard output, or another open file.

    Args:
        form: json or text.
        show_tenant: whether lines say whose they are.
        fd: where it is written.
    """

    kind = "stdout"
    destination = "standard output"

    def __init__(self, form: Literal["json", "text"] = "json", *, show_tenant: bool = False, fd: int = 1) -> None:
        self._render = as_json if form == "json" else as_text
        self._show_tenant = show_tenant
        self._fd = fd
        self._thread = ThreadPoolExecutor(1, "emit-stdout")
        self._stop = threading.Event()
        self._begun: UUID | None = None
        self._written = 0

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Writes a batch, or what is left of it after a try that failed."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(self._send, outgoing))

    async def close(self) -> None:
        """Ends a write that nobody takes."""
        self._stop.set()
        await asyncio.to_thread(self._thread.shutdown)

    def _send(self, outgoing: Outgoing) -> Outcome:
        shown = with_tenant(outgoing.batch, outgoing.tenant) if self._show_tenant else outgoing.batch
        if self._begun != outgoing.uuid:
            self._begun, self._written = outgoing.uuid, 0
        data = memoryview(self._render(shown))
        try:
            taken = self._write(data)
        except OSError as error:
            return Failed(f"standard output: {error.strerror}")
        if not taken:
            return Failed("nobody reads standard output")
        self._begun = None
        return Archived()

    def _write(self, data: memoryview) -> bool:
        """Whether all of it was taken. A pipe takes PIPE_BUF bytes at once without a wait if it takes any (pipe(7))."""
        ready = select.poll()
        may_block = not stat.S_ISREG(os.fstat(self._fd).st_mode)
        if may_block:
            ready.register(self._fd, select.POLLOUT)
        step = select.PIPE_BUF if may_block else len(data)
        deadline = time.monotonic() + PATIENCE
        while self._written < len(data):
            if may_block and not ready.poll(1000 * _TICK):
                if self._stop.is_set() or time.monotonic() > deadline:
                    return False
                continue
            self._written += os.write(self._fd, data[self._written : self._written + step])
            deadline = time.monotonic() + PATIENCE
        return True
