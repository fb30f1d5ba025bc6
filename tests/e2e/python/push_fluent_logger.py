"""Events through fluent-logger: the argument is the port. Prints nothing; a send that fails is told on stderr."""

from __future__ import annotations

import logging
import sys

from fluent import handler, sender

port = int(sys.argv[1])
plain = sender.FluentSender("shop", host="127.0.0.1", port=port, nanosecond_precision=True)
for level, text in [
    ("debug", "cart opened"),
    ("info", "order 17 placed by Jürgen 日本 😀"),
    ("warn", 'a "quoted" <tag> & a \\ backslash'),
    ("error", "order failed\n    at line two"),
]:
    if not plain.emit("web", {"log": text, "level": level, "context": {"zone": "eu-1"}}):
        print(plain.last_error, file=sys.stderr)
plain.close()

through_logging = handler.FluentHandler("shop.logging", host="127.0.0.1", port=port)
through_logging.setFormatter(handler.FluentRecordFormatter({"where": "%(name)s", "level": "%(levelname)s"}))
log = logging.getLogger("orders")
log.addHandler(through_logging)
log.setLevel(logging.DEBUG)
log.info("a plain message")
log.warning({"message": "a message in a dict", "order": 17})
through_logging.close()
