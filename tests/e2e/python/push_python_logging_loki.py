"""Logs through python-logging-loki: arguments are the push URL and the emitter's version ("0" or "1")."""

from __future__ import annotations

import logging
import sys

import logging_loki

url, version = sys.argv[1:]
log = logging.getLogger("shop.orders")
log.setLevel(logging.DEBUG)
log.propagate = False
log.addHandler(logging_loki.LokiHandler(url=url, tags={"application": "shop"}, version=version))

log.debug("cart opened")
log.info("order %d placed by %s", 17, "Jürgen 日本 😀")
log.warning('a "quoted" <tag> & a \\ backslash', extra={"tags": {"zone.name": "eu-1"}})
try:
    raise RuntimeError("no such customer")
except RuntimeError:
    log.exception("order failed")
