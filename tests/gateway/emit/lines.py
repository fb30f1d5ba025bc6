"""Lines of emitters, read back from where they went."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path


def lines_of_json(raw: bytes) -> Counter[str]:
    """The lines of what an emitter wrote; others between them, such as a server's own log, are passed over."""
    return Counter(json.loads(each)["line"] for each in raw.splitlines() if each.startswith(b'{"ts":'))


def lines_in(path: Path) -> Counter[str]:
    """The lines of a file and of those that were moved aside from it. A file and its .gz never count both."""
    found: Counter[str] = Counter()
    for each in sorted(path.parent.glob(f"{path.name}*")):
        if each.suffix == ".tmp" or each.with_name(f"{each.name}.gz").exists():
            continue
        raw = each.read_bytes()
        found += lines_of_json(gzip.decompress(raw) if each.suffix == ".gz" else raw)
    return found
