"""TLS of the doors: contexts made of the settings, and made anew when their files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config import Settings
from config.tls import PEM
from gateway.logs import event
from gateway.watched_files import Watch, content_of, settled

_log = logging.getLogger("weir.tls")

PROTOCOLS = ("http/1.1",)
"""What is agreed on for HTTP (ALPN): requests of HTTP/1.1 take the short way, gateway/http1."""

_MOST_LOOKS = 50
"""Looks at files that change all the time, before they are taken as they are."""

_NS_PER_SECOND = 1_000_000_000


class BadTls(Exception):  # noqa: N818 - named for what happened
    """The settings or files of TLS cannot be used; the text says why in plain words."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a door's TLS comes from.

    Attributes:
        settings: how the settings are named: "tls.cert", "forward.tls_cert".
        cert, key, client_ca: paths or PEM texts; the last two may be empty.
        min_version: "1.2" or "1.3".
        protocols: for ALPN.
    """

    settings: tuple[str, str, str]
    cert: str
    key: str
    client_ca: str
    min_version: str = "1.2"
    protocols: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read, without PEM texts."""
        return tuple(Path(part) for part in (self.cert, self.key, self.client_ca) if part and PEM not in part)


def http_source(settings: Settings) -> Source | None:
    """Of the HTTP door; None: it is plain. Raises BadTls."""
    tls = settings.tls
    names = ("tls.cert", "tls.key", "tls.client_ca")
    return _source(Source(names, tls.cert, tls.key.get_secret_value(), tls.client_ca, tls.min_version, PROTOCOLS))


def forward_source(settings: Settings) -> Source | None:
    """Of the Fluent Forward door: its own settings, else the common ones; None: it is plain. Raises BadTls."""
    forward, tls = settings.forward, settings.tls
    names = ("forward.tls_cert", "forward.tls_key", "forward.tls_client_ca")
    own = _source(Source(names, forward.tls_cert, forward.tls_key, forward.tls_client_ca, tls.min_version))
    if own is not None or not tls.forward:
        return own
    names = ("tls.cert", "tls.key", "tls.client_ca")
    return _source(Source(names, tls.cert, tls.key.get_secret_value(), tls.client_ca, tls.min_version))


def http_tls(settings: Settings) -> Tls | None:
    """The TLS of the HTTP door; None: it is plain. Reads the files. Raises BadTls."""
    source = http_source(settings)
    return Tls(source) if source is not None else None


def forward_tls(settings: Settings) -> Tls | None:
    """The TLS of the Fluent Forward door; None: it is plain. Reads the files. Raises BadTls."""
    source = forward_source(settings)
    return Tls(source) if source is not None else None


def _source(source: Source) -> Source | None:
    if source.cert:
        return source
    if source.key or source.client_ca:
        cert, key, client_ca = source.settings
        raise BadTls(f"{key} and {client_ca} need {cert}")
    return None


def server_context(source: Source) -> ssl.SSLContext:
    """A context of what the files say now. Reads them: not for the event loop.

    Raises:
        BadTls: they cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if source.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    if source.protocols:
        context.set_alpn_protocols(list(source.protocols))
    cert, key, client_ca = source.settings
    what = cert
    try:
        with _file(source.cert) as chain, _file(source.key) as private:
            if source.key:
                what = f"{cert} and {key}"
            # A key with a passphrase would be asked for on the terminal.
            context.load_cert_chain(chain, private or None, password="")
        if source.client_ca:
            what = client_ca
            with _file(source.client_ca) as authorities:
                context.load_verify_locations(authorities)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        where = f"{error.filename}: " if error.filename else ""
        raise BadTls(f"cannot use {what}: {where}{error.strerror or error}") from error
    return context


@contextmanager
def _file(given: str) -> Iterator[str]:
    """A path to what is given, a path or PEM text: OpenSSL reads certificates from files alone."""
    if PEM not in given:
        yield given
        return
    with tempfile.NamedTemporaryFile("w", prefix="weir-", suffix=".pem") as file:  # for this user's eyes only
        file.write(given.replace("\\n", "\n"))  # as it comes out of a variable of one line
        file.flush()
        yield file.name


class Tls:
    """The context of one door, which changes with its files.

    Attributes:
        context: for the connections that come now.
        is_good: whether the last reading could be used.
        changed: time.time() of the last that was.
    """

    def __init__(self, source: Source) -> None:
        """Reads the files: for a start. Raises BadTls."""
        self._source = source
        self._known = content_of(source.files)
        self._failed = b""
        self.context = server_context(source)
        self.is_good = True
        self.changed = time.time()

    @property
    def wants_certificates(self) -> bool:
        """Whether clients must show one."""
        return bool(self._source.client_ca)

    async def look(self, *, asked: bool) -> None:
        """Reads the files again if they have changed, or it is asked for; what cannot be used changes nothing."""
        if not self._source.files:
            return
        found = await asyncio.to_thread(content_of, self._source.files)
        if found == self._known and self.is_good and not asked:
            return
        # Certificate and key are two files.
        found = await settled(self._source.files, found, _MOST_LOOKS)
        names = ", ".join(map(str, self._source.files))
        try:
            self.context = await asyncio.to_thread(server_context, self._source)
        except BadTls as error:
            self.is_good = False
            if asked or found != self._failed:  # tried again each time, said once
                event(_log, logging.ERROR, f"TLS stays as it was: {error}", files=names)
            self._failed = found
            return
        self._known, self._failed = found, b""
        self.is_good, self.changed = True, time.time()
        event(_log, logging.INFO, "the TLS files were read again", files=names)


class TlsWatch(Watch):
    """Looks after the contexts of all doors."""

    def __init__(self, some: list[Tls]) -> None:
        super().__init__()
        self.all = some

    async def look(self, *, asked: bool) -> None:
        """Has each look."""
        for one in self.all:
            await one.look(asked=asked)
