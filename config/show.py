"""Settings as YAML, for `weir config show` and /config. Secrets are shown as stars."""

from __future__ import annotations

from typing import Any, Literal

import yaml

from config.settings import Settings


def dump_yaml(settings: Settings, *, mode: Literal["full", "diff", "defaults"] = "full") -> str:
    """Settings as a file that load takes back.

    Args:
        settings: what is in force.
        mode: full: everything; diff: only what is not Weir's default; defaults: the defaults instead.
    """
    defaults = type(settings)().model_dump(mode="json")
    if mode == "defaults":
        tree = defaults
    else:
        tree = settings.model_dump(mode="json")
        if mode == "diff":
            tree = _difference(tree, defaults)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _difference(tree: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    changed = {}
    for key, value in tree.items():
        default = defaults.get(key)
        if isinstance(value, dict) and isinstance(default, dict):
            if below := _difference(value, default):
                changed[key] = below
        elif value != default:
            changed[key] = value
    return changed
