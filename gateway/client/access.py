"""What a client shows of itself, and whom it takes for the server: keys and TLS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from gateway.client.errors import BadArgument

if TYPE_CHECKING:
    import ssl

_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Access:
    """How a server is spoken to.

    Attributes:
        key: that it asks for; None sends none.
        ca: file with the authorities (PEM) that its certificate is checked against; None: those of the system.
        cert: file with a certificate to show (PEM); None shows none.
        client_key: file with its key; None: it is in `cert`.
        insecure: take any certificate.
    """

    key: str | None = None
    ca: str | None = None
    cert: str | None = None
    client_key: str | None = None
    insecure: bool = False

    def headers(self, *, has_password: bool) -> dict[str, str]:
        """Headers that carry the key. Where the address has a password, Authorization is taken: a proxy wants it.

        Raises:
            BadArgument: it cannot be sent.
        """
        if not self.key:
            return {}
        if not (self.key.isascii() and self.key.isprintable()):
            raise BadArgument("the key cannot be sent in a header: it has characters that are none of ASCII's")
        return {"X-API-Key": self.key} if has_password else {"Authorization": f"Bearer {self.key}"}

    @property
    def has_tls(self) -> bool:
        """Whether anything is said of TLS."""
        return bool(self.ca or self.cert or self.client_key or self.insecure)

    def context(self) -> ssl.SSLContext:
        """TLS as it is said.

        Raises:
            BadArgument: a file cannot be used.
        """
        import ssl  # noqa: PLC0415 - a tenth of a command's start-up: only paid where TLS is spoken

        context = _using("the certificate authorities", self.ca, lambda: ssl.create_default_context(cafile=self.ca))
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert:
            cert = self.cert
            files = f"{cert} and {self.client_key}" if self.client_key else cert
            _using("the client certificate", files, lambda: context.load_cert_chain(cert, self.client_key, ""))
        elif self.client_key:
            raise BadArgument("--client-key needs --cert")
        return context


ANONYMOUS = Access()


def _using(what: str, files: str | None, load: Callable[[], _R]) -> _R:
    try:
        return load()
    except OSError as error:  # ssl.SSLError is one
        where = f" ({files})" if files else ""
        raise BadArgument(f"{what}{where} cannot be used: {error.strerror or error}") from error
