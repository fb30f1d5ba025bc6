"""The `weir` command."""

from __future__ import annotations

from gateway.cli.app import main

__all__ = ["main"]
