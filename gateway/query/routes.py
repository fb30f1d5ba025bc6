"""The routes of the query API."""

from __future__ import annotations

from gateway.auth import Scope, ScopedRoute, route
from gateway.query.detected import detected_field_values, detected_fields, detected_labels
from gateway.query.drilldown import drilldown_limits
from gateway.query.index import index_stats
from gateway.query.labels import label_names, label_values, series
from gateway.query.pretty import pretty_query
from gateway.query.queries import legacy_query, query, query_range
from gateway.query.rules import no_alerts, no_rule_groups, no_rules
from gateway.query.running import running_queries, stop_query
from gateway.query.shards import index_shards
from gateway.query.slow import slow_queries
from gateway.query.volume import volume, volume_range

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
        route("/loki/api/v1/index/volume", volume, _READ, Scope.QUERY),
        route("/loki/api/v1/index/volume_range", volume_range, _READ, Scope.QUERY),
        route("/loki/api/v1/index/shards", index_shards, _READ, Scope.QUERY),
        route("/loki/api/v1/detected_labels", detected_labels, _READ, Scope.QUERY),
        route("/loki/api/v1/detected_fields", detected_fields, _READ, Scope.QUERY),
        route("/loki/api/v1/detected_field/{name}/values", detected_field_values, _READ, Scope.QUERY),
        route("/loki/api/v1/drilldown-limits", drilldown_limits, ["GET"], Scope.QUERY),
        route("/loki/api/v1/format_query", pretty_query, _READ, Scope.QUERY),
        route("/prometheus/api/v1/rules", no_rules, ["GET"], Scope.QUERY),
        route("/prometheus/api/v1/alerts", no_alerts, ["GET"], Scope.QUERY),
        route("/loki/api/v1/rules", no_rule_groups, ["GET"], Scope.QUERY),
        route("/api/prom/rules", no_rule_groups, ["GET"], Scope.QUERY),
        route("/weir/v1/queries", running_queries, ["GET"], Scope.QUERY),
        route("/weir/v1/queries/slow", slow_queries, ["GET"], Scope.QUERY),
        route("/weir/v1/queries/{id}", stop_query, ["DELETE"], Scope.QUERY),
        route("/api/prom/query", legacy_query, _READ, Scope.QUERY),
        route("/api/prom/label", label_names, _READ, Scope.QUERY),
        route("/api/prom/label/{name}/values", label_values, _READ, Scope.QUERY),
        route("/api/prom/series", series, _READ, Scope.QUERY),
    ]
