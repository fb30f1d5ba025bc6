"""Plain numbers as Prometheus metrics, under the names and labels of metric_names."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from gateway.metric_names import Spec
from storage.figures import Histogram

_TYPES = {"counter": "counter", "gauge": "gauge", "untyped": "unknown"}


def family(spec: Spec, values: Mapping[tuple[str, ...], float]) -> Metric:
    """A counter, gauge or untyped metric: values by label values, which stand in the spec's order."""
    # The library takes a counter's _total off and puts it back.
    name = spec.name.removesuffix("_total") if spec.kind == "counter" else spec.name
    metric = Metric(name, spec.help, _TYPES[spec.kind])
    for labels, value in values.items():
        metric.add_sample(spec.name, dict(zip(spec.labels, labels, strict=True)), value)
    return metric


def _go_float(bound: float) -> str:
    """As the library writes the bounds of its own histograms."""
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


def histogram_family(spec: Spec, values: Mapping[tuple[str, ...], Histogram]) -> Metric:
    """A histogram by label values."""
    metric = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, histogram in values.items():
        running, buckets = 0, []
        for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
            running += count
            buckets.append((_go_float(bound), float(running)))
        metric.add_metric(labels, buckets, histogram.total)
    return metric
