"""Compiling kernels, and where the machine code is kept between starts.

numba's own cache does not see a change in a function that a kernel takes from another file. So each module of kernels
has a cache folder whose name holds a hash of its source, of the kernel modules that it imports, and of numba's and
numpy's versions: a change in any of them means a new folder, and no other module is compiled again.

The folders are in the user's cache directory (or below WEIR_KERNEL_CACHE), not in the package: an installed package may
be read-only or belong to someone else, and uninstalling it should leave nothing behind in site-packages. Images set
WEIR_KERNEL_CACHE, NUMBA_CPU_NAME and NUMBA_CPU_FEATURES when they are built and when they run, because numba's key also
holds the CPU. Where no folder can be written, kernels are compiled into a private temporary one at each start.

numba is imported when the first kernel is defined, not with this module.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

ROOMS = (
    "storage.kernels",
    "logql.kernels",
    "gateway.push.kernels",
    "gateway.query.kernels",
    "gateway.forward.kernels",
    "gateway.relay.kernels",
)
"""Packages that hold kernels, named here and not imported: what is above storage may have kernels of its own."""

ROOT_VARIABLE = "WEIR_KERNEL_CACHE"
"""Environment variable that names the folder in which the cache folders are made."""

BYTES = "Array(uint8, 1, 'C', True)"
"""uint8[n], not written to: lines, field names. Views of immutable buffers are accepted where this is."""
OFFSETS = "Array(int64, 1, 'C', True)"
"""int64[n], not written to."""

_DONE = "done"
"""File in the folder of a module that warmup has compiled. A module may hold nothing but parts of kernels."""
_PROCESSES = 4
"""Processes that compile at once, at most: each needs some 600 MB."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(signature: str) -> Callable[[_Function], _Function]:
    """Compiles a function for one signature, without the GIL, or loads it from the cache.

    Args:
        signature: numba's text of it, e.g. `f"void({BYTES}, int64, int8[::1])"`. One signature: the first call must
            not be the one that compiles.
    """

    def compiled(function: _Function) -> _Function:
        numba = _numba()
        numba.config.CACHE_DIR = str(module_dir(function.__module__))
        made: _Function = numba.njit(signature, nogil=True, cache=True, boundscheck=False)(function)
        return made

    return compiled


def inner(function: _Function) -> _Function:
    """Makes a function callable from kernels. It is compiled into them, and has no cache entry of its own."""
    made: _Function = _numba().njit(nogil=True, boundscheck=False)(function)
    return made


def bare(function: _Function) -> _Function:
    """As `inner`, without counting references to the arrays that it is given: it must neither make nor return any.

    A count is an atomic instruction for each argument, twice a call, which costs more than what a short part does.
    """
    made: _Function = _numba().njit(nogil=True, boundscheck=False, _nrt=False)(function)
    return made


def inlined(function: _Function) -> _Function:
    """As `bare`, and never a call: for what is smaller than one, as an array is passed as seven values."""
    made: _Function = _numba().njit(nogil=True, boundscheck=False, _nrt=False, forceinline=True)(function)
    return made


@cache
def source_hash(module: str) -> str:
    """16 hex digits over a module's source and those of the kernel modules that it imports, itself or by others."""
    digest = hashlib.sha256()
    for name in sorted(_imported(module, set())):
        source = _source(name)
        digest.update(f"{name}={len(source)}\n".encode())
        digest.update(source)
    return digest.hexdigest()[:16]


_IMPORT = re.compile(
    rf"^from ((?:{'|'.join(map(re.escape, ROOMS))})(?:\.\w+)*) import ([\w, ]+|\([^)]*\))", re.MULTILINE
)


def _imported(module: str, found: set[str]) -> set[str]:
    """`found`, the module, and the kernel modules below it."""
    if module not in found and _path(module).is_file():
        found.add(module)
        for source, names in _IMPORT.findall(_source(module).decode()):
            _imported(source, found)
            for name in re.findall(r"\w+", names):
                _imported(f"{source}.{name}", found)
    return found


def _path(module: str) -> Path:
    return Path(__file__).parents[2].joinpath(*module.split(".")).with_suffix(".py")


def _source(module: str) -> bytes:
    return _path(module).read_bytes()


def module_dir(module: str) -> Path:
    """The folder for the machine code of a module; it may be missing."""
    return cache_dir() / f"{module}-{source_hash(module)}"


@cache
def cache_dir() -> Path:
    """The folder in use: below WEIR_KERNEL_CACHE, else the user's cache directory, else a temporary one."""
    wanted = _root() / f"numba-{version('numba')}-numpy-{version('numpy')}"
    try:
        # numba refuses a folder it cannot write to, even where all it needs is there to be read.
        wanted.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=wanted).close()
    except OSError:
        # Never a fixed name under /tmp: whoever made that first would choose the code that runs here.
        private = Path(tempfile.mkdtemp(prefix="weir-kernels-"))
        atexit.register(shutil.rmtree, private, ignore_errors=True)
        with suppress(OSError):  # it is not there, or not for us to read
            shutil.copytree(wanted, private, dirs_exist_ok=True)
        return private
    return wanted


def warmup() -> list[str]:
    """Compiles every kernel that is not in the cache yet, by several processes; names of the modules, in order."""
    names = list(_modules())
    missing = [name for name in names if not (module_dir(name) / _DONE).exists()]
    if len(missing) > 1:
        processes = min(os.cpu_count() or 1, _PROCESSES)
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            # The largest sources first, so that no process is left with one of them at the end.
            list(pool.map(_compile, sorted(missing, key=lambda name: -len(_source(name)))))
    for name in names:
        _compile(name)
    return names


def _modules() -> Iterator[str]:
    """The modules that may hold kernels. Found by their files: importing a room may compile."""
    for room in ROOMS:
        files = _path(room).with_suffix("").glob("*.py")
        yield from sorted(f"{room}.{path.stem}" for path in files if path.stem not in ("__init__", "cache"))


def _compile(name: str) -> None:
    importlib.import_module(name)
    folder = module_dir(name)
    with suppress(OSError):  # no folder can be written to: every start compiles
        folder.mkdir(exist_ok=True)
        (folder / _DONE).touch()


def _root() -> Path:
    given = os.environ.get(ROOT_VARIABLE)
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "weir" / "kernels"
    try:
        return Path.home() / ".cache" / "weir" / "kernels"
    except RuntimeError:  # no home directory is known, as for a bare uid in a container
        return Path(tempfile.mkdtemp(prefix="weir-kernels-"))


@cache
def _numba() -> Any:
    # The variable is for the import below; the attribute for a numba that someone imported before.
    os.environ["NUMBA_CACHE_DIR"] = str(cache_dir())
    numba = importlib.import_module("numba")
    # numba imports it at the first call of a kernel, 50 ms that belong to the start and not to the first push.
    importlib.import_module("numpy.ma")
    return numba
