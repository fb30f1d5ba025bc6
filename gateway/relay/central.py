"""What a server took in from others: by instance and tenant, for `weir relay status` and the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client.core import Metric

from gateway.metric_families import family
from gateway.metric_names import CENTRAL
from gateway.relay.way import read_path

if TYPE_CHECKING:
    from storage import Instance

_SPECS = {spec.name: spec for spec in CENTRAL}
_NS_PER_SECOND = 1_000_000_000


class Taking(Protocol):
    """The store, as far as it knows who brought what."""

    def instances(self) -> list[Instance]:
        """What each server that passes batches on has brought each tenant. Blocking. Raises StorageError."""


class Central:
    """Who sends to this server, as it was at the last look. For the event loop.

    Attributes:
        instances: by tenant and name.
    """

    def __init__(self) -> None:
        self.instances: Sequence[Instance] = ()

    async def look(self, store: Taking) -> Sequence[Instance]:
        """Who sends now. Raises StorageError."""
        self.instances = await asyncio.to_thread(store.instances)
        return self.instances


def instance_families(instances: Sequence[Instance]) -> Iterator[Metric]:
    """Every metric of what came from other servers."""
    batches: dict[tuple[str, ...], float] = {}
    records: dict[tuple[str, ...], float] = {}
    last: dict[tuple[str, ...], float] = {}
    for one in instances:
        key = one.name, one.tenant
        batches[key], records[key], last[key] = one.batches, one.records, one.last_received / _NS_PER_SECOND
    yield family(_SPECS["weir_instance_batches_total"], batches)
    yield family(_SPECS["weir_instance_records_total"], records)
    yield family(_SPECS["weir_instance_last_received_timestamp_seconds"], last)


def instance_told(one: Instance) -> dict[str, Any]:
    """An instance as the API tells it."""
    return {
        "instance": one.name,
        "tenant": one.tenant,
        "batches": one.batches,
        "records": one.records,
        "last_received": round(one.last_received / _NS_PER_SECOND, 3),
        "path": [stop.name or stop.origin for stop in read_path(", ".join(one.path))],
    }
