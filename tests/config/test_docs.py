from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml
from pydantic import BaseModel

from config import PROFILES, Settings, load
from config.reference import meanings, with_tables
from config.schema import dotted, group_of, known
from config.yamlfile import read_yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
SAMPLE = ROOT / "config" / "weir.yml"


def test_the_settings_page_is_what_the_model_says() -> None:
    assert with_tables(PAGE) == PAGE, "run: python -m config.reference docs/settings.md"


def test_every_setting_stands_on_the_page() -> None:
    for path in known():
        if path != ("overrides",):
            assert f"| `{dotted(path)}` |" in PAGE


def test_every_setting_has_a_meaning() -> None:
    models: list[type[BaseModel]] = [Settings]
    for model in models:
        models += [group for field in model.model_fields.values() if (group := group_of(field))]
        told = meanings(model)
        assert [
            name for name in model.model_fields if group_of(model.model_fields[name]) is None and not told.get(name)
        ] == []


def test_every_profile_stands_on_the_page() -> None:
    for profile, values in PROFILES.items():
        assert f"--profile {profile}" in PAGE
        for path, value in values.items():
            assert f"`{dotted(path)}: {value}`" in PAGE


def test_the_example_on_the_page_loads(tmp_path: Path) -> None:
    example = tmp_path / "example.yml"
    example.write_text(PAGE.partition("```yaml\n")[2].partition("```")[0])
    assert load(example).settings.limits_for("team-a").ingestion_rate_mb == 4


def test_the_sample_file_says_the_defaults() -> None:
    assert load(SAMPLE).settings == Settings()


def test_the_sample_file_has_every_setting_but_limits() -> None:
    given = read_yaml(SAMPLE)
    for path in known():
        if path[0] not in ("limits", "overrides") and path != ("query", "threads"):
            place = given
            for group in path[:-1]:
                place = place[group]
            assert path[-1] in place, dotted(path)


def test_what_the_sample_file_has_commented_out_can_be_used(tmp_path: Path) -> None:
    text = (
        SAMPLE.read_text()
        .replace("  # threads", "  threads")
        .replace("  # team-a", "  team-a")
        .replace("  #   max", "    max")
    )
    used = tmp_path / "weir.yml"
    used.write_text(text)
    settings = load(used).settings
    assert settings.query.threads == 4
    assert settings.limits_for("team-a").max_line_size == 1 << 20
    assert yaml.safe_load(text)["overrides"] == {"team-a": {"max_line_size": "1MB"}}


def test_settings_load_without_the_heavy_libraries() -> None:
    program = (
        "import sys, config; print(*{'numpy', 'pyarrow', 'numba', 'asyncio', 'httpx', 'starlette'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
