"""`weir serve` on a disk that fails or is slow: `python serve_with_faults.py FILE python -m gateway.cli serve ...`.

FILE says what is wrong now, and may change at any time: `fail NAME...` lets the calls os.NAME fail with EIO, `slow
SECONDS` delays every sync. An empty or missing file: nothing is wrong. Nothing in the product knows of it.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("fdatasync", "fsync", "ftruncate", "write")


def install(faults: Path) -> None:
    """Puts the faults in front of the calls."""
    for name in CALLS:
        setattr(os, name, functools.partial(_call, faults, name, getattr(os, name)))


def _call(faults: Path, name: str, real: Callable[..., Any], *args: Any) -> Any:
    try:
        words = faults.read_text().split()
    except FileNotFoundError:
        words = []
    if words[:1] == ["fail"] and name in words:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    if words[:1] == ["slow"] and name in {"fdatasync", "fsync"}:
        time.sleep(float(words[1]))
    return real(*args)


if __name__ == "__main__":
    own, faults, _python, _flag, _module, *arguments = sys.argv
    install(Path(faults))
    sys.path.insert(0, str(Path(own).parents[2]))
    sys.argv = ["weir", *arguments]
    from gateway.cli import main

    main()
