"""Which labels events of the usual senders get. Few, and with few values each: every set of labels is a stream."""

from __future__ import annotations

_OPENTELEMETRY = "@group.resource.attributes['service.name']"
_COMPOSE = "$['com.docker.compose.service']"
_KUBERNETES = "$kubernetes.labels['app.kubernetes.io/name']|$kubernetes.labels.app|$kubernetes.labels['k8s-app']"

PRESETS = {
    "default": (
        "job=fluent",
        f"service_name={_OPENTELEMETRY}|{_COMPOSE}|{_KUBERNETES}|$kubernetes.container_name|$container_name",
        "container=$kubernetes.container_name|$container_name",
        "namespace=$kubernetes.namespace_name",
    ),
    "docker": (
        "job=docker",
        f"service_name={_COMPOSE}|$container_name",
        "container=$container_name",
        "compose_project=$['com.docker.compose.project']",
        "stream=$source",
    ),
    "kubernetes": (
        "job=kubernetes",
        f"service_name={_OPENTELEMETRY}|{_KUBERNETES}|$kubernetes.container_name",
        "namespace=$kubernetes.namespace_name",
        "container=$kubernetes.container_name",
        "stream=$stream",
    ),
}
"""By name, as the setting `forward.mapping.labels` would write them."""
