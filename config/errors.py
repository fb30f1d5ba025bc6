"""What config raises."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_PASSWORD = re.compile(r"(//)[^/]*@")


class ConfigError(Exception):
    """The settings given cannot be used; the text has one line a problem, all of them.

    Attributes:
        problems: each says where it was set (file, variable or flag), the key, what is wrong and what is allowed.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def quoted(value: Any) -> str:
    """A value as an error text shows it: near to how YAML has it, without the password of a URL."""
    if value is None:
        return "an empty value"
    if isinstance(value, str) and "@" in value:
        value = _PASSWORD.sub(r"\1***@", value)
    return str(value).lower() if isinstance(value, bool) else repr(value)
