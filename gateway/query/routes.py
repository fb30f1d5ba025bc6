"""The routes of the query API."""

from __future__ import annotations

from gateway.auth import Scope, ScopedRoute, route
from gateway.query.index import index_stats
from gateway.query.labels import label_names, label_values, series
from gateway.query.pretty import pretty_query
from gateway.query.queries import legacy_query, query, query_range

_READ = ("GET", "POST")


def query_routes() -> list[ScopedRoute]:
    """Routes of this folder. The old prefix has no `/labels` (conformance prom_legacy-009)."""
    return [
        route("/loki/api/v1/query", query, _READ, Scope.QUERY),
        route("/loki/api/v1/query_range", query_range, _READ, Scope.QUERY),
        route("/loki/api/v1/labels", label_names, _READ, Scope.QUERY),
        route("/loki/api/v1/label", label_names, _READ, Scope.QUERY),
        route("/loki/api/v1/label/{name}/values", label_values, _READ, Scope.QUERY),
        route("/loki/api/v1/series", series, _READ, Scope.QUERY),
        route("/loki/api/v1/index/stats", index_stats, _READ, Scope.QUERY),
        route("/loki/api/v1/format_query", pretty_query, _READ, Scope.QUERY),
        route("/api/prom/query", legacy_query, _READ, Scope.QUERY),
        route("/api/prom/label", label_names, _READ, Scope.QUERY),
        route("/api/prom/label/{name}/values", label_values, _READ, Scope.QUERY),
        route("/api/prom/series", series, _READ, Scope.QUERY),
    ]
