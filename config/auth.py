"""Settings of who may use the server."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Auth(BaseModel):
    """Keys, which `weir keys` makes; see docs/security.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    enabled: bool = False
    """Answer nothing without a key but /ready and /health. Not Loki's auth_enabled, which is tenancy.enabled."""
