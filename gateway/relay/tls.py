"""TLS towards a destination: whom to trust, and who this server is."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PEM = "-----BEGIN "


def client_context(ca: str, cert: str, key: str, *, insecure_skip_verify: bool = False) -> ssl.SSLContext:
    """A context for connections to one destination. Each of the texts is a path or PEM text; empty: none.

    Args:
        ca: authorities that the destination's certificate is checked with; empty: those the system trusts.
        cert: certificate chain of this server.
        key: its key; empty: it is in `cert`.
        insecure_skip_verify: trust whoever answers.

    Raises:
        OSError, ssl.SSLError: a file cannot be read, or holds something else. ssl.SSLError is an OSError.
    """
    context = ssl.create_default_context()
    if ca:
        # A private authority instead of the public ones: nobody else can speak for the destination.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=_text(ca))
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert:
        with _file(cert) as chain, _file(key or cert) as own:
            context.load_cert_chain(chain, own)
    return context


def _text(given: str) -> str:
    return given if PEM in given else Path(given).read_text(encoding="ascii", errors="replace")


@contextmanager
def _file(given: str) -> Iterator[str]:
    """A path; of PEM text that of a file which only this user can read, and which is gone afterwards."""
    if PEM not in given:
        yield given
        return
    handle, name = tempfile.mkstemp(prefix="weir-", suffix=".pem")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(given)
        yield name
    finally:
        Path(name).unlink()
