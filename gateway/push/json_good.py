"""Runs of JSON that nothing is wrong with, found at once: what the exact decoder need not read token by token.

They are strict: all that they match, Loki's decoder takes too, and stands behind it as it would have token by token.
"""

from __future__ import annotations

import re

_WS = rb"[ \t\r\n]*+"
_STR = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_PAIR = _STR + _WS + b":" + _WS + _STR + _WS
_SCALAR = rb"(?:%b|true|false|null|[1-9][0-9]{0,14}+)" % _STR
_ENTRY = (
    rb"\[%(ws)b%(str)b%(ws)b,%(ws)b%(str)b%(ws)b(?:,%(ws)b\{%(ws)b(?:%(pair)b(?:,%(ws)b%(pair)b)*+)?+\}%(ws)b)?+\]"
    % {
        b"ws": _WS,
        b"str": _STR,
        b"pair": _PAIR,
    }
)
GOOD_ITEMS = re.compile(rb"(?:%b(?:%b|%b)%b,)*+" % (_WS, _ENTRY, _SCALAR, _WS))
"""Entries of a stream and scalars that nothing is wrong with, each with the comma behind it."""
GOOD_MEMBERS = re.compile(rb"(?:%b%b%b,%b%b%b:)*+" % (_WS, _SCALAR, _WS, _WS, _STR, _WS))
"""Scalars that nothing is wrong with, each with the name that comes next and its colon."""
