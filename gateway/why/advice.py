"""What to do about each reason for which lines are refused: a sentence; settings are named as the docs name them."""

from __future__ import annotations

_FORWARD = "forward_"

ADVICE = {
    # lines, as Loki names the reasons
    "greater_than_max_sample_age": "The timestamps are too old: check the sender's clock and time zone, or raise "
    "limits.reject_old_samples_max_age (limits.reject_old_samples: false takes any age).",
    "too_far_in_future": "The timestamps are in the future: check the sender's clock, time zone and unit (s, ms, ns), "
    "or raise limits.creation_grace_period.",
    "timestamp_before_epoch": "The timestamps were never set, or are in the wrong unit: let the sender set the time.",
    "too_far_behind": "Entries came out of order, too far behind the newest of their stream: raise "
    "limits.out_of_order_window (0 takes any order).",
    "line_too_long": "The lines are too long: raise limits.max_line_size, or cut them with "
    "limits.max_line_size_truncate.",
    "missing_labels": "The streams have no label: let the sender set at least one.",
    "missing_enforced_labels": "Labels that limits.enforced_labels asks for are missing: let the sender set them.",
    "max_label_names_per_series": "The streams have too many labels: send some as structured metadata, or raise "
    "limits.max_label_names_per_series.",
    "label_name_too_long": "A label's name is too long: shorten it, or raise limits.max_label_name_length.",
    "label_value_too_long": "A label's value is too long: move it to the line or to structured metadata, or raise "
    "limits.max_label_value_length.",
    "duplicate_label_names": "A label stands in a stream twice: let the sender set it once.",
    "disallowed_structured_metadata": "Structured metadata is off: turn limits.allow_structured_metadata on, or send "
    "none.",
    "structured_metadata_too_large": "There is too much structured metadata: send less of it, or raise "
    "limits.max_structured_metadata_size.",
    "structured_metadata_too_many": "There are too many pairs of structured metadata: send fewer, or raise "
    "limits.max_structured_metadata_entries_count.",
    "rate_limited": "More came than the tenant may send: raise limits.ingestion_rate_mb and "
    "limits.ingestion_burst_size_mb, or send less.",
    "per_stream_rate_limit": "More came than one stream may take: raise limits.per_stream_rate_limit, or split the "
    "stream by a label.",
    "stream_limit": "The tenant has too many active streams: use fewer label values, or raise "
    "limits.max_streams_per_user and limits.max_global_streams_per_user.",
    "blocked_ingestion": "The tenant's ingestion is blocked until limits.block_ingestion_until.",
    # entries of POST /log, and requests
    "bad_field": "The entries of POST /log have a field that is missing or wrong: the text names it.",
    "bad_request": "The body could not be read: check the sender's format, Content-Type and Content-Encoding.",
    "no_tenant": "The requests had no X-Scope-OrgID: let the sender set a tenant, or turn tenancy.enabled off.",
    "no_key": "The requests had no key, or not one that is good: let the sender send one that `weir keys list` shows "
    "as good, as a Bearer token, as the password of basic auth or in X-API-Key.",
    "key_not_for_this": "The requests had a key that may not push, or is for another tenant: make one with "
    "`weir keys create --scopes push`.",
    "wrong_path": "The requests went to a path that takes no logs: check the sender's URL. Loki's pushes go to "
    "/loki/api/v1/push, OpenTelemetry's to /otlp/v1/logs.",
    "too_slow": "The requests did not come to their end: check the network between sender and server.",
    "batch_id_conflict": "A batch id was used for other contents before: let the sender draw a new one for each batch.",
    "too_large": "The bodies are too large: send smaller batches, or raise limits.max_recv_msg_size (of POST /log: "
    "log.max_bulk_bytes).",
    "no_streams": "The pushes had no streams: nothing was in them.",
    "not_stored": "The server could not take them at that time (starting, a full disk, too much at once); senders try "
    "again. See /health and server.ingest_in_flight.",
    "internal_error": "The server failed: its log says how.",
    # Fluent Forward
    "forward_handshake": "The sender was not let in: check forward.shared_key, users and passwords on both sides.",
    "forward_tls": "The sender and the server do not agree on TLS: check forward.tls_* and the sender's TLS settings.",
    "forward_rate_limited": "More came than the tenant may send, for longer than forward.hold_ack: raise "
    "limits.ingestion_rate_mb.",
    "forward_signal": "The messages are metrics or traces: only logs are taken in.",
    "forward_unpacks_too_long": "The messages unpack to more than forward.max_unpacked: raise it, or send smaller "
    "chunks.",
    "forward_bad_time": "The times could not be read; the entries are stored under the time of their arrival.",
    "forward_metadata_cut": "The entries are stored, but with less structured metadata than they had.",
    "forward_no_tenant": "The tenant that the entries name is none; they are stored under the listener's tenant.",
    "forward_no_record": "The events have no record: check the sender's format.",
}


def advice(reason: str) -> str:
    """What to do about a reason."""
    known = ADVICE.get(reason)
    if known is not None:
        return known
    if reason.startswith(_FORWARD):
        return "Fluent Forward's messages could not be used: check the sender's output plugin and the network."
    return "See the text."


STORED = frozenset({"forward_bad_time", "forward_metadata_cut", "forward_no_tenant", "forward_group_too_large"})
"""Reasons for which entries were changed, and stored all the same."""
