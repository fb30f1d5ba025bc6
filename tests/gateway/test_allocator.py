"""Memory that numpy gives back is used again, not cleared by the system once more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import sys
import numpy as np
from gateway.allocator import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    raise SystemExit("no mallopt here")
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def a_unit():
    del [np.ones(1 << 20, np.uint8) for _ in range(40)][:]
a_unit()
before = faults()
for _ in range(10):
    a_unit()
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_arrays_cost_no_page_faults_the_second_time() -> None:
    def faults(how: str) -> int:
        # Without numpy's own way out, huge pages, which not every system has.
        env = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
        done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, env=env)
        return int(done.stdout)

    assert faults("kept") < 1_000
    assert faults("given back") > 10_000
