"""Certificates for tests: made here, signed by an authority of the test's own."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


def write_server(authority: trustme.CA, file: Path) -> str:
    """Writes a certificate for 127.0.0.1, chain and key in one file; its path."""
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(file)
    return str(file)


def write_client(authority: trustme.CA, file: Path) -> str:
    """Writes a client's certificate, with its key; its path."""
    authority.issue_cert("edge").private_key_and_cert_chain_pem.write_to_path(file)
    return str(file)


def write_ca(authority: trustme.CA, file: Path) -> str:
    """Writes the authority's own certificate; its path."""
    authority.cert_pem.write_to_path(file)
    return str(file)


def client_context(authority: trustme.CA, cert: str | None = None) -> ssl.SSLContext:
    """A context that trusts the authority, and shows a certificate."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if cert is not None:
        context.load_cert_chain(cert)
    return context
