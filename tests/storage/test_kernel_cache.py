"""Where compiled kernels are kept: nothing compiles twice, and a change anywhere means a new folder."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.kernels import cache
from tests.gateway.weir_command import weir

REPO = Path(__file__).parents[2]

# Run in a process of its own: loads all kernels, calls one, and says what was compiled and where.
PROGRAM = """
import json
from numba.core import event
compiled = []
class Listener(event.Listener):
    def on_start(self, found): compiled.append(str(found.data["dispatcher"]))
    def on_end(self, found): pass
event.register("numba:compile", Listener())
from storage.kernels import cache  # and with storage the kernels it uses
# The room that storage brings along is as good as all, which take minutes.
cache.ROOMS = ("storage.kernels",)
names = cache.warmup()
import numpy as np
from storage.kernels.spans import distinct
numbers, firsts = np.zeros(2, np.int32), np.zeros(2, np.int64)
spans = np.array([0, 3]), np.array([3, 6])
assert distinct(np.frombuffer(b"abcabc", np.uint8), *spans, np.uint64(1), numbers, firsts) == 1
print(json.dumps({"compiled": compiled, "names": names, "folder": str(cache.cache_dir())}))
"""


def run(site: Path, root: Path) -> dict[str, Any]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        cache.ROOT_VARIABLE: str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, env=environment, cwd=root.parent
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def files_of(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


def test_a_second_start_from_a_read_only_install_compiles_nothing(tmp_path: Path) -> None:
    site, root = tmp_path / "site", tmp_path / "kernels"
    for package in ("config", "gateway", "logql", "storage"):
        shutil.copytree(REPO / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    installed = files_of(site)
    first = run(site, root)
    assert "storage.kernels.spans" in first["names"]
    assert list(Path(first["folder"]).rglob("*.nbc"))
    assert Path(first["folder"]).parent == root
    for path in (site, *site.rglob("*")):
        path.chmod(0o555)
    try:
        second = run(site, root)
        assert second["compiled"] == []
        assert second["folder"] == first["folder"]
        assert files_of(site) == installed
    finally:
        for path in (site, *site.rglob("*")):
            path.chmod(0o755)


def test_a_folder_that_cannot_be_made_gives_a_private_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.ROOT_VARIABLE, str(tmp_path / "file" / "kernels"))
    folder = cache.cache_dir.__wrapped__()
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o077 == 0
    folder.rmdir()


def test_a_folder_that_cannot_be_looked_into_gives_a_private_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a server meets whose HOME is another user's. Root may look everywhere, so the system's answer is put in.
    shut = tmp_path / "shut"

    def refusing(real: Callable[..., Any]) -> Callable[..., Any]:
        def asked(path: Any = ".", *args: Any, **options: Any) -> Any:
            if isinstance(path, (str, Path)) and shut in Path(path).parents:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(path, *args, **options)

        return asked

    monkeypatch.setenv(cache.ROOT_VARIABLE, str(shut))
    for name in ("mkdir", "stat", "scandir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    folder = cache.cache_dir.__wrapped__()
    assert folder.is_dir()
    assert shut not in folder.parents
    folder.rmdir()


def test_the_folder_is_in_the_users_cache_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.ROOT_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache._root() == Path("/cache/weir/kernels")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache._root() == Path("/home/someone/.cache/weir/kernels")


def test_a_change_is_seen_by_the_modules_that_import_the_changed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in cache.ROOMS:
        folder = Path(*room.split("."))
        shutil.copytree(REPO / folder, tmp_path / folder)
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "storage" / "kernels" / "cache.py"))
    names = list(cache._modules())
    assert {"gateway.push.kernels.protobuf", "gateway.push.kernels.otlp", "logql.kernels.search"} <= set(names)
    before = {name: cache.source_hash.__wrapped__(name) for name in names}
    with (tmp_path / "gateway" / "push" / "kernels" / "protobuf.py").open("a") as file:
        file.write("# changed\n")
    changed = {name for name in names if cache.source_hash.__wrapped__(name) != before[name]}
    assert {"gateway.push.kernels.protobuf", "gateway.push.kernels.otlp"} <= changed
    assert "logql.kernels.search" not in changed


def test_warmup_compiles_what_is_missing(tmp_path: Path) -> None:
    # With the machine code that is there already: all of it takes a minute.
    root = tmp_path / "kernels"
    folder = root / cache.cache_dir().name
    cache.warmup()
    shutil.copytree(cache.cache_dir(), folder)
    gone = folder / cache.module_dir("logql.kernels.search").name
    shutil.rmtree(gone)
    before = files_of(root)
    done = weir("warmup", env={cache.ROOT_VARIABLE: str(root)})
    assert done.returncode == 0, done.stderr
    assert list(gone.rglob("*.nbc"))
    assert {path for path in files_of(root) - before if gone.name not in path.parts} == set()
