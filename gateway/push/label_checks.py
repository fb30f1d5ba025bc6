"""The checks of whole streams, by their labels (Loki: ValidateLabels, enforced labels, blocked ingestion)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from config.limits import Limits
from gateway.push.errors import IngestionBlocked
from gateway.push.label_cache import LabelCache
from gateway.push.refusals import rfc3339
from gateway.push.service_name import SERVICE_NAME, is_internal
from storage.batch import Labels
from storage.labels import labels_text


def are_sound(streams: Iterable[Labels], limits: Limits) -> bool:
    """Whether `labels_error` finds nothing wrong with any of them."""
    known = _known(limits.max_label_names_per_series, limits.max_label_name_length, limits.max_label_value_length)
    for labels in streams:
        if not known.get(labels):
            if labels_error(labels, limits) is not None:
                return False
            known.put(labels, True)
    return True


@lru_cache(maxsize=8)
def _known(*_: int) -> LabelCache[bool]:
    """The label sets that are sound under limits of these values."""
    return LabelCache()


def labels_error(labels: Labels, limits: Limits) -> tuple[str, str] | None:
    """(reason, text) of the first thing wrong with a label set, None where it may be stored (Loki: ValidateLabels)."""
    if not labels:
        return "missing_labels", "error at least one label pair is required per stream"
    if is_internal(labels):
        return None
    count = len(labels) - any(name == SERVICE_NAME for name, _ in labels)
    most = limits.max_label_names_per_series
    if most and count > most:
        text = f"entry for stream '{labels_text(labels)}' has {count} label names; limit {most}"
        return "max_label_names_per_series", text
    last = ""
    for name, value in labels:
        if _is_longer(name, limits.max_label_name_length):
            return "label_name_too_long", f"stream '{labels_text(labels)}' has label name too long: '{name}'"
        if _is_longer(value, limits.max_label_value_length):
            return "label_value_too_long", f"stream '{labels_text(labels)}' has label value too long: '{value}'"
        if name == last:
            return "duplicate_label_names", f"stream '{labels_text(labels)}' has duplicate label name: '{name}'"
        last = name
    return None


def _is_longer(text: str, limit: int) -> bool:
    if not limit or len(text) * 4 <= limit:
        return False
    return len(text) > limit or len(text.encode("utf-8", "surrogateescape")) > limit


def missing_labels_error(labels: Labels, tenant: str, limits: Limits) -> tuple[str, str] | None:
    """(reason, text) where an enforced label is not there."""
    present = {name for name, _ in labels}
    missing = [name for name in limits.enforced_labels if name not in present]
    if not missing or is_internal(labels):
        return None
    text = (
        f"missing required labels '{','.join(missing)}' for user '{tenant}' "
        f"for stream '{labels_text(labels)}' (policy: '')"
    )
    return "missing_enforced_labels", text


def blocked_error(tenant: str, limits: Limits, now: int) -> IngestionBlocked | None:
    """The refusal of everything a tenant sends before `block_ingestion_until`, None where that is past."""
    if limits.block_ingestion_until <= now:
        return None
    status = limits.block_ingestion_status_code
    return IngestionBlocked(
        f"ingestion blocked for user '{tenant}' until '{rfc3339(limits.block_ingestion_until)}' "
        f"with status code '{status}'",
        status,
    )
