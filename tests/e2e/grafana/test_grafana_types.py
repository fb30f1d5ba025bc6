"""Grafana's own published types take the dashboards in config/grafana: no unknown property, option or value."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.config.boards import LOGS, OPERATIONS, read

pytestmark = pytest.mark.node

HERE = Path(__file__).parent
TYPES = {OPERATIONS: "OverPrometheus", LOGS: "OverLoki"}
OPTIONS = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext"]
OPTIONS += ["--moduleResolution", "bundler"]


def complaints(board: dict[str, Any], kind: str, folder: Path) -> list[str]:
    """What the compiler says of a dashboard, each beginning with the code of the error."""
    modules = HERE / "node_modules"
    assert modules.is_dir(), "Grafana's types are not installed: run `make test-node`, which does it"
    (folder / "node_modules").symlink_to(modules)
    (folder / "shapes.ts").write_text((HERE / "shapes.ts").read_text())
    text = f"import type {{ {kind} }} from './shapes';\nexport const board: {kind} = {json.dumps(board, indent=1)};\n"
    (folder / "board.ts").write_text(text)
    compiler = json.loads((modules / "typescript" / "package.json").read_text())["bin"]["tsc"]
    done = subprocess.run(
        ["node", modules / "typescript" / compiler, *OPTIONS, "board.ts"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    found = re.findall(r"^.*?error (TS\d+: .*)$", done.stdout, re.MULTILINE)
    assert bool(found) == bool(done.returncode), done.stdout
    return found


@pytest.mark.parametrize("path", list(TYPES), ids=lambda path: path.stem)
def test_grafana_takes_the_dashboard(path: Path, tmp_path: Path) -> None:
    assert complaints(read(path), TYPES[path], tmp_path) == []


def test_the_types_do_refuse_what_is_wrong(tmp_path: Path) -> None:
    def complaint(name: str, **changed: Any) -> str:
        board = read(OPERATIONS)
        panel = next(panel for panel in board["panels"] if panel["type"] == "stat")
        panel["options"] |= changed
        (tmp_path / name).mkdir()
        return " ".join(complaints(board, TYPES[OPERATIONS], tmp_path / name))

    assert "graphMod" in complaint("name", graphMod="area")
    assert "aera" in complaint("value", graphMode="aera")
