from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import SecretStr

from config import Limits, Settings, dump_yaml, load


def loaded_from(text: str, folder: Path) -> Settings:
    file = folder / "shown.yml"
    file.write_text(text)
    return load(file).settings


def test_what_is_shown_loads_as_what_it_was(tmp_path: Path) -> None:
    given = [
        ("wal.sync", "off"),
        ("memtable.max_age", "90s"),
        ("limits.enforced_labels", "a,b"),
        ("limits.block_ingestion_until", "2026-01-31T15:00:00Z"),
        ("overrides.no.max_line_size", "1MB"),
        ("tenancy.default", "123"),
        ("data_dir", "/srv/weir"),
    ]
    settings = load(None, given).settings
    assert settings != Settings()
    assert loaded_from(dump_yaml(settings), tmp_path) == settings
    assert loaded_from(dump_yaml(settings, mode="diff"), tmp_path) == settings
    assert loaded_from(dump_yaml(settings, mode="defaults"), tmp_path) == Settings()


def test_diff_shows_only_what_is_no_default() -> None:
    settings = load(
        None, [("memtable.size", "1MB"), ("memtable.max_age", "30m"), ("limits.query_timeout", "5m")]
    ).settings
    assert yaml.safe_load(dump_yaml(settings, mode="diff")) == {
        "memtable": {"size": "1MB"},
        "limits": {"query_timeout": "5m"},
    }
    assert yaml.safe_load(dump_yaml(Settings(), mode="diff")) == {}


def test_a_tenants_overrides_are_shown_as_given() -> None:
    settings = Settings(overrides={"acme": Limits(max_line_size=256 * 1024)})
    assert yaml.safe_load(dump_yaml(settings))["overrides"] == {"acme": {"max_line_size": "256KB"}}


class WithSecret(Settings):
    """Settings as they will be when there is a secret among them."""

    token: SecretStr = SecretStr("")


def test_secrets_are_masked() -> None:
    settings = WithSecret(token=SecretStr("hunter2"))
    for shown in (dump_yaml(settings), dump_yaml(settings, mode="diff")):
        assert "hunter2" not in shown
        assert yaml.safe_load(shown)["token"] == "**********"
