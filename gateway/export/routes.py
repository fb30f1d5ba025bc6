"""The routes of exports."""

from __future__ import annotations

from gateway.auth import Scope, ScopedRoute, route
from gateway.export.context import context
from gateway.export.door import export


def export_routes() -> list[ScopedRoute]:
    """Routes of this folder."""
    return [
        route("/weir/v1/export", export, ["GET", "POST"], Scope.QUERY),
        route("/weir/v1/context", context, ["GET", "POST"], Scope.QUERY),
    ]
