"""The collector: log files followed and sent on, so that each line is stored once.

A file's bytes become a batch; the batch is on disk, with its id and with where each file is after it, before it is
sent, and goes as it stands there until it is acknowledged. So nothing depends on what a file holds when a batch is
sent again. Nothing here but `inside` knows a server's own parts: `weir collect` needs no numba and no pyarrow.
"""

from __future__ import annotations
