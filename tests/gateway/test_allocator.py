"""Memory that numpy gives back is used again; code that is not needed any more is no memory of the process."""

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


LOADED = """
import re
from pathlib import Path
from gateway.allocator import give_back_code_of
from storage.kernels.cache import inner, kernel
import logql.kernels.search
def of_files():
    return int(re.search(r"RssFile:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
before = of_files()
given = give_back_code_of("llvmlite")
print(before - of_files(), given >> 20, give_back_code_of("nothing is called so"))
import numba  # the compiler still works
assert numba.njit(lambda number: number + 1)(1) == 2
"""


@pytest.mark.skipif(sys.platform != "linux", reason="madvise(2)")
def test_a_library_whose_code_was_given_back_still_works() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    less, given, nothing = map(int, done.stdout.split())
    assert less > 10
    assert given > 10
    assert nothing == 0
