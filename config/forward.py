"""Settings of the Fluent Forward door.

Its limits are about the bytes of a connection; what becomes of the entries is bounded by the tenant's limits like those
of any other push.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator

from config.address import split_address
from config.forward_mapping import ForwardMapping
from config.units import HOUR, MB, MINUTE, SECOND, Duration, Kind, Positive, Size

OFF = "off"
PORT = 24224
"""The port that every sender of Fluent Forward has as its default."""


def _read_listen(value: Any) -> str:
    if value is False:  # a YAML 1.1 writer turns a bare off into false
        return OFF
    if not isinstance(value, str):
        raise ValueError("not text")  # noqa: TRY004 - pydantic reports ValueError only
    if value.strip() not in ("", OFF):
        split_address(value.strip())
    return value.strip()


def _read_secret(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _read_users(value: Any) -> Any:
    if isinstance(value, str):
        return [one for one in value.split(",") if one]
    return value


Listen = Annotated[
    str,
    BeforeValidator(_read_listen),
    Kind("address or off", "off, or host:port, such as 0.0.0.0:24224"),
]
Secret = Annotated[SecretStr, BeforeValidator(_read_secret), Kind("secret", "text")]
Users = Annotated[
    tuple[Secret, ...],
    BeforeValidator(_read_users),
    Kind("secrets", "a list of name:password (in a variable or a flag: with commas between)"),
]


class Forward(BaseModel):
    """The Fluent Forward door, for Fluent Bit, Fluentd, Docker and the fluent-logger libraries."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    listen: Listen = ""
    """Where to listen, for TCP and the UDP heartbeat; off: nowhere. Empty: port 24224 of the host of server.http, and
    if that is taken the server starts without this door. An address that is given and taken ends the start."""
    tenant: str = ""
    """The tenant of entries for which the mapping finds none; empty: tenancy.default."""
    tls_cert: str = ""
    """File with the certificate chain (PEM); with it every connection is TLS."""
    tls_key: str = ""
    """File with the certificate's key (PEM); empty: it is in tls_cert."""
    tls_client_ca: str = ""
    """File with the authorities (PEM) of which a client must show a certificate (mutual TLS)."""
    shared_key: Secret = SecretStr("")
    """The shared_key that senders must prove to know; empty and no users: no handshake."""
    users: Users = ()
    """Users as name:password, of which a sender must be one."""
    max_message: Size = 16 * MB
    """Largest message as sent; a longer one ends its connection, without an acknowledgement."""
    max_unpacked: Size = 128 * MB
    """Largest payload of a message once decompressed; a larger one is dropped, counted and acknowledged."""
    max_depth: Annotated[Positive, Field(le=512)] = 64
    """Arrays and maps within one another in a message."""
    max_connections: Positive = 2000
    """Connections open at once; further ones are closed."""
    max_connections_per_address: Positive = 1000
    """Of them from one address."""
    max_buffered: Size = 128 * MB
    """Bytes of messages that have come in part, over all connections; past it the connections that stand still go."""
    max_in_flight: Size = 32 * MB
    """Bytes of a connection's messages that are not stored yet; past it nothing more is read from it."""
    handshake_timeout: Duration = 10 * SECOND
    """Time for TLS and the handshake."""
    message_timeout: Duration = 30 * SECOND
    """Time from a message's first byte to its last, and a second more for every 64 KB of it."""
    idle_timeout: Duration = 24 * HOUR
    """Time after which a connection without a message is closed: long, as a sender without acknowledgements loses the
    first message it writes after that. Peers that are gone are found by TCP keepalive. 0: never."""
    hold_ack: Duration = MINUTE
    """Longest time that an acknowledgement is held back while nothing can be stored; then the connection is closed
    without it. Senders give up after 190 s."""
    mapping: ForwardMapping = ForwardMapping()

    @field_validator("users")
    @classmethod
    def _are_users(cls, users: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(one.get_secret_value().partition(":")[0] and ":" in one.get_secret_value() for one in users):
            raise ValueError("not name:password")
        return users

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of `listen`, None where it names none."""
        return None if self.listen in ("", OFF) else split_address(self.listen)

    @property
    def passwords(self) -> dict[str, str]:
        """Password by user name."""
        pairs = (one.get_secret_value().partition(":") for one in self.users)
        return {name: password for name, _, password in pairs}

    @property
    def secured(self) -> bool:
        """Whether senders must prove who they are before they send."""
        return bool(self.shared_key.get_secret_value() or self.users)
