"""What is said at the start of a server that anybody may use who can reach it over the network."""

from __future__ import annotations

import ipaddress
import logging
from typing import Any
from urllib.parse import urlsplit

from config import Settings
from gateway.logs import event

_log = logging.getLogger("weir.serve")


def warn_if_open(settings: Settings, url: str, forward: str | None, *, forward_certificates: bool) -> None:
    """Logs one line if a door lets in whoever comes from another machine.

    Args:
        settings: in force.
        url: of the HTTP door.
        forward: address of the Fluent Forward door, None where it is off.
        forward_certificates: whether senders of it must show a certificate.
    """
    doors: dict[str, Any] = {}
    if not settings.auth.enabled and not settings.tls.client_ca and _is_elsewhere(url):
        doors["http"] = url
    if forward is not None and not (settings.forward.secured or forward_certificates) and _is_elsewhere(f"//{forward}"):
        doors["forward"] = forward
    if not doors:
        return
    if "http" in doors:
        text = "push, query, delete and administer: make keys with weir keys create and set auth.enabled=true"
        text += " and forward.shared_key" if "forward" in doors else ""
    else:
        text = "push: set forward.shared_key"
    event(_log, logging.WARNING, f"whoever can reach this server may {text}, or listen on 127.0.0.1", **doors)


def _is_elsewhere(url: str) -> bool:
    """Whether other machines may reach an address."""
    host = urlsplit(url).hostname or ""
    return not ipaddress.ip_address(host.partition("%")[0]).is_loopback
