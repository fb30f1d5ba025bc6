"""Imports point one way: gateway -> logql -> storage's batches, gateway -> storage, gateway -> config."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("gateway", "logql", "storage", "config", "bench", "tests")
ALLOWED = {
    "config": set[str](),
    "storage": set[str](),
    # Pure functions on batches and label sets, and how kernels are compiled; nothing of storage that knows a file.
    "logql": {
        "storage.batch",
        "storage.labels",
        "storage.reading",
        "storage.rows",
        "storage.kernels.cache",
        "storage.kernels.spans",
    },
    "gateway": {"config", "logql", "storage"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names} if module in OURS else {module}
    return {name for name in found if name.split(".")[0] in OURS}


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for name in imports(path):
            top = name.split(".")[0]
            allowed = top == package or name in ALLOWED[package] or top in ALLOWED[package]
            assert allowed, f"{path.relative_to(ROOT)} imports {name}"


def test_the_client_side_of_the_command_needs_no_arrays() -> None:
    for path in (ROOT / "gateway" / "client").rglob("*.py"):
        assert not any(name.split(".")[0] in {"storage", "logql", "config"} for name in imports(path)), path
