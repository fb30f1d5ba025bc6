"""On what the figures were measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from bench.processors import ALL


def machine() -> dict[str, str | int | float]:
    """Processor, cores, memory, system and Python."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "cores": len(ALL),
        "memory_GB": round(memory / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
