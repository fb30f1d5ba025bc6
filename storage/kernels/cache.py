"""Compiling kernels, and where the machine code is kept between starts.

numba's own cache does not see a change in a function that a kernel takes from another file. So the cache folder's name
holds a hash of every kernel source and of numba's and numpy's versions: a change anywhere means a new folder.

The folder is in the user's cache directory (or below WEIR_KERNEL_CACHE), not in the package: an installed package may
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
import pkgutil
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

ROOMS = (
    "storage.kernels",
    "logql.kernels",
    "gateway.push.kernels",
    "gateway.query.kernels",
    "gateway.forward.kernels",
)
"""Packages that hold kernels, named here and not imported: what is above storage may have kernels of its own."""

ROOT_VARIABLE = "WEIR_KERNEL_CACHE"
"""Environment variable that names the folder in which the cache folders are made."""

BYTES = "Array(uint8, 1, 'C', True)"
"""uint8[n], not written to: lines, field names. Views of immutable buffers are accepted where this is."""
OFFSETS = "Array(int64, 1, 'C', True)"
"""int64[n], not written to."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(signature: str) -> Callable[[_Function], _Function]:
    """Compiles a function for one signature, without the GIL, or loads it from the cache.

    Args:
        signature: numba's text of it, e.g. `f"void({BYTES}, int64, int8[::1])"`. One signature: the first call must
            not be the one that compiles.
    """

    def compiled(function: _Function) -> _Function:
        made: _Function = _numba().njit(signature, nogil=True, cache=True, boundscheck=False)(function)
        return made

    return compiled


def inner(function: _Function) -> _Function:
    """Makes a function callable from kernels. It is compiled into them, and has no cache entry of its own."""
    made: _Function = _numba().njit(nogil=True, boundscheck=False)(function)
    return made


def source_hash() -> str:
    """What the cache folder is named by: 16 hex digits over all kernel sources and the compiler's versions."""
    digest = hashlib.sha256()
    for package in ("numba", "numpy"):
        digest.update(f"{package}={version(package)}\n".encode())
    installed = Path(__file__).parents[2]
    for room in ROOMS:
        for path in sorted(installed.joinpath(*room.split(".")).glob("*.py")):
            source = path.read_bytes()
            digest.update(f"{room}.{path.name}={len(source)}\n".encode())
            digest.update(source)
    return digest.hexdigest()[:16]


@cache
def cache_dir() -> Path:
    """The folder in use: below WEIR_KERNEL_CACHE, else the user's cache directory, else a temporary one."""
    wanted = _root() / source_hash()
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
    """Compiles every kernel that is not in the cache yet; names of the modules that were loaded, in order."""
    names = []
    for room in ROOMS:
        package = importlib.import_module(room)
        names += sorted(module.name for module in pkgutil.iter_modules(package.__path__, f"{room}."))
    for name in names:
        importlib.import_module(name)
    return names


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
    numba.config.CACHE_DIR = str(cache_dir())
    # numba imports it at the first call of a kernel, 50 ms that belong to the start and not to the first push.
    importlib.import_module("numpy.ma")
    return numba
