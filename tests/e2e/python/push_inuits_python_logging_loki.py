"""Logs through inuits-python-logging-loki: arguments are the push URL and "direct" or "batch" (queued and batched)."""

from __future__ import annotations

import logging
import sys
from queue import Queue

import logging_loki

url, how = sys.argv[1:]
log = logging.getLogger("shop.orders")
log.setLevel(logging.DEBUG)
log.propagate = False
tags = {"application": "shop"}
handler: logging.Handler = logging_loki.LokiHandler(url=url, tags=tags)
if how == "batch":
    handler = logging_loki.LokiQueueHandler(Queue(), batch_interval=60, url=url, tags=tags)
log.addHandler(handler)

log.debug("cart opened")
log.info("order %d placed by %s", 17, "Jürgen 日本 😀")
log.warning('a "quoted" <tag> & a \\ backslash', extra={"tags": {"zone": "eu-1", "attempt": 2, "vip": None}})
try:
    raise RuntimeError("no such customer")
except RuntimeError:
    log.exception("order failed")

# Left to the interpreter's end, the library closes the batch before its queue is empty and loses lines.
handler.close()
