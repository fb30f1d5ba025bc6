"""Settings of TLS, for HTTP and Fluent Forward."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, field_serializer

from config.units import SECOND, Duration, Kind

PEM = "-----BEGIN "
"""What PEM text has in it, and the path of no file."""

Key = Annotated[SecretStr, Kind("secret", "a path or PEM text")]
Version = Annotated[
    Literal["1.2", "1.3"],
    BeforeValidator(lambda value: str(value) if isinstance(value, float) else value),  # YAML reads 1.2 as a number
]


class Tls(BaseModel):
    """TLS, and mutual TLS; see docs/security.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    cert: str = ""
    """The certificate chain: a file, or PEM text itself. With it HTTP is HTTPS, and Fluent Forward is TLS too."""
    key: Key = SecretStr("")
    """The certificate's key: a file, or PEM text itself. Empty: it is in `cert`."""
    client_ca: str = ""
    """The authorities of which clients must show a certificate (mutual TLS): a file, or PEM text itself. Keys are asked
    for all the same over HTTP."""
    min_version: Version = "1.2"
    """The oldest version of TLS that is spoken."""
    forward: bool = True
    """Whether Fluent Forward is TLS too; `forward.tls_cert` gives it a certificate of its own."""
    reload_period: Duration = 10 * SECOND
    """How often the files are looked at, and read again if they have changed; 0: on SIGHUP only."""

    @field_serializer("cert")
    def _without_a_key(self, cert: str) -> str:
        """PEM text may have the key in it; the path of a file is shown."""
        return "**********" if PEM in cert else cert
