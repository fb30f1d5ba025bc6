"""ip("..."): addresses, CIDR blocks and ranges, and finding addresses in a line, as in Loki."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import takewhile
from typing import TypeAlias

from logql.errors import StageError
from logql.literals import quote

Address: TypeAlias = IPv4Address | IPv6Address

_CANDIDATE = re.compile(rb"[0-9]{1,3}\.[0-9.]*|[0-9a-fA-F]{0,4}:[0-9a-fA-F:.]*")
"""A run that begins like an address, of either family; the whole run is one or none."""

_LONGEST = 45
"""Characters of the longest address, IPv6 with an IPv4 tail."""

_PREFIX_LENGTH = re.compile(r"/(?:0|[1-9][0-9]{0,2})")


def ip_test(pattern: str) -> Callable[[Address], bool]:
    """Tells whether an address is the one, in the block or in the range that `pattern` names.

    IPv4 and IPv6 are apart: ::ffff:10.0.0.1 is not 10.0.0.1.

    Raises:
        StageError: `pattern` is none of `address`, `address/bits`, `first-last`.
    """
    try:
        return _ip_test(pattern)
    except ValueError:
        raise StageError(f"ip: invalid pattern: {quote(pattern)}") from None


def _ip_test(pattern: str) -> Callable[[Address], bool]:
    if "-" in pattern:
        low_text, _, high_text = pattern.partition("-")
        low, high = ip_address(low_text), ip_address(high_text)
        if low.version != high.version or int(low) > int(high):
            raise ValueError(pattern)
        first, last = int(low), int(high)
        return lambda address: address.version == low.version and first <= int(address) <= last
    if "/" in pattern:
        if not _PREFIX_LENGTH.fullmatch(pattern, pattern.index("/")):
            raise ValueError(pattern)
        network = ip_network(pattern, strict=False)
        return lambda address: address in network
    wanted = ip_address(pattern)
    return lambda address: address == wanted


def ip_literal(pattern: str) -> bytes:
    """What each line has in which one of the addresses stands that `pattern`, an `ip_test`'s, names.

    An IPv4 address is written in one way alone: without zeros at the front of its numbers.
    """
    if "-" in pattern:
        low, high = map(ip_address, pattern.split("-", 1))
    elif "/" in pattern:
        network = ip_network(pattern, strict=False)
        low, high = network.network_address, network.broadcast_address
    else:
        low = high = ip_address(pattern)
    if low.version != 4:
        return b":"
    numbers = zip(str(low).split("."), str(high).split("."), strict=True)
    shared = [first for first, _ in takewhile(lambda pair: pair[0] == pair[1], numbers)]
    return (".".join(shared) + "." * (low != high)).encode()


def has_address(line: bytes, test: Callable[[Address], bool]) -> bool:
    """Whether any address in `line` passes `test`."""
    for match in _CANDIDATE.finditer(line):
        if match.end() - match.start() > _LONGEST:
            continue
        try:
            address = ip_address(match.group().decode("ascii"))
        except ValueError:
            continue
        if test(address):
            return True
    return False
