"""What is wrong now, and what notifiers were told, as metric families."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.metric_families import family
from gateway.metric_names import NOTIFY
from gateway.notify import Alerts

_SPECS = {spec.name: spec for spec in NOTIFY}


def notify_families(alerts: Alerts) -> Iterator[Metric]:
    """Every metric of alerts and notifiers."""
    raised: dict[tuple[str, ...], float] = {(alert.key,): 1 for alert in alerts.active}
    figures = alerts.figures()
    outcomes: dict[tuple[str, ...], float] = {}
    for name, each in figures.items():
        outcomes[name, "sent"] = each.sent
        outcomes[name, "failed"] = each.failures
        outcomes[name, "rejected"] = each.rejected
        outcomes[name, "dropped"] = each.dropped
    waiting: dict[tuple[str, ...], float] = {(name,): each.waiting for name, each in figures.items()}
    yield family(_SPECS["weir_alerts"], raised)
    yield family(_SPECS["weir_notifications_total"], outcomes)
    yield family(_SPECS["weir_notifications_waiting"], waiting)
