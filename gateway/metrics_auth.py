"""The figures of keys and TLS as metric families."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.metric_families import family
from gateway.metric_names import AUTH
from gateway.state import Gateway

_SPECS = {spec.name: spec for spec in AUTH}


def auth_families(gateway: Gateway) -> Iterator[Metric]:
    """Every metric of keys and TLS."""
    gate = gateway.gate
    failures: dict[tuple[str, ...], float] = {(door, why): count for (door, why), count in gate.failures.items()}
    yield family(_SPECS["weir_auth_failures_total"], failures)
    count = gate.ring.count(time.time_ns()) if gate.is_open else 0
    yield family(_SPECS["weir_auth_keys"], {(): count})
    yield family(_SPECS["weir_auth_keys_last_read_successful"], {(): int(gate.is_good)})
    yield family(_SPECS["weir_tls_last_reload_successful"], {(): int(all(one.is_good for one in gateway.tls))})
    changed = max((one.changed for one in gateway.tls), default=0.0)
    yield family(_SPECS["weir_tls_changed_timestamp_seconds"], {(): changed})
