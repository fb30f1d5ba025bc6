"""Text of unknown origin on a terminal: a log line must not be able to move the cursor, recolour or reorder.

Escaped are the C0 and C1 control characters but tab (a newline too: one entry is one row), DEL, the line and paragraph
separators, and the bidirectional overrides and isolates, with which a line can be made to read as another.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069]")


def escape_controls(text: str) -> str:
    r"""The text with unsafe characters shown as `\n`, `\r`, `\x1b`, `\u202e`."""
    return _UNSAFE.sub(_shown, text)


def escape_json_controls(text: str) -> str:
    """JSON text with unsafe characters as JSON escapes: the same value when parsed.

    JSON itself keeps C0 out of strings, so what is found stands in a string.
    """
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _shown(found: re.Match[str]) -> str:
    char = found[0]
    if char == "\n":
        return "\\n"
    if char == "\r":
        return "\\r"
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
