"""Names of Loki's settings (Loki 1.x to 3.x), by what becomes of them here. Data only; loki.py acts on it.

A block that Weir has a use for is listed key by key, so that a misspelt key is seen; the rest of the blocks are taken
whole. Below the first level of a listed block only what is mapped or refused is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MARKS = frozenset({"schema_config", "common", "limits_config", "ingester"})
"""A file with one of these at its top is Loki's."""

UNUSED_BLOCKS = _names(
    """
    analytics ballast_bytes bloom_build bloom_compactor bloom_gateway compactor_grpc_client
    compactor_client configs dataobj frontend frontend_worker index_cache_validity index_gateway ingest_limits
    ingest_limits_frontend ingest_limits_frontend_client ingester_client kafka_config lbac memberlist metrics_namespace
    operational_config profiling query_engine query_range query_scheduler schema_config shutdown_delay
    target tenant_limits_allow_publish tracing ui
    """
)
"""Top-level keys whose contents are of no use here, apart from what REFUSED names in them."""

OPEN_BLOCKS = frozenset({"chunk_store_config", "pattern_ingester", "storage_config"})
"""Blocks of which a few keys are of use and any others are taken."""

LATER_BLOCKS = frozenset({"ruler", "ruler_storage"})
"""Top-level keys that Weir does not act on yet, but means to."""

KEYS: Mapping[str, frozenset[str]] = {
    "server": _names(
        """
        http_listen_network http_listen_address http_listen_port http_listen_conn_limit grpc_listen_network
        grpc_listen_address grpc_listen_port grpc_listen_conn_limit grpc_collect_max_streams_by_conn
        proxy_protocol_enabled tls_cipher_suites tls_min_version http_tls_config grpc_tls_config
        register_instrumentation report_grpc_codes_in_instrumentation_label_enabled graceful_shutdown_timeout
        http_server_read_timeout http_server_read_header_timeout http_server_write_timeout http_server_idle_timeout
        http_log_closed_connections_without_response_enabled grpc_server_max_recv_msg_size
        grpc_server_max_send_msg_size grpc_server_max_concurrent_streams grpc_server_max_connection_idle
        grpc_server_max_connection_age grpc_server_max_connection_age_grace grpc_server_keepalive_time
        grpc_server_keepalive_timeout grpc_server_min_time_between_pings grpc_server_ping_without_stream_allowed
        grpc_server_num_workers grpc_server_stats_tracking_enabled grpc_server_recv_buffer_pools_enabled
        grpc_server_read_buffer_size grpc_server_write_buffer_size log_format log_level log_source_ips_enabled
        log_source_ips_full log_source_ips_header log_source_ips_regex log_request_headers
        log_request_at_info_level_enabled log_request_exclude_headers_list trace_request_headers
        trace_request_exclude_headers_list http_path_prefix cluster_validation create_new_traces
        """
    ),
    "common": _names(
        """
        path_prefix storage persist_tokens replication_factor ring instance_interface_names instance_addr
        instance_enable_ipv6 compactor_address compactor_grpc_address scratch_path
        """
    ),
    "distributor": _names(
        """
        ring push_worker_count rate_store write_failures_logging otlp_config max_recv_msg_size max_decompressed_size
        kafka_writes_enabled ingester_writes_enabled kafka_config ingest_limits_enabled ingest_limits_dry_run_enabled
        tenant_topic dataobj_tee default_policy_stream_mappings
        """
    ),
    "ingester": _names(
        """
        lifecycler concurrent_flushes flush_check_period flush_op_backoff flush_op_timeout chunk_retain_period
        chunk_idle_period chunk_block_size chunk_target_size chunk_encoding max_chunk_age autoforget_unhealthy
        sync_period sync_min_utilization max_returned_stream_errors query_store_max_look_back_period wal
        index_shards max_dropped_streams shutdown_marker_path owned_streams_check_interval
        delegate_stream_limits_enabled kafka_ingestion max_streams_per_user max_transfer_retries query_store
        """
    ),
    "querier": _names(
        """
        tail_max_duration extra_query_delay query_ingesters_within engine max_concurrent query_store_only
        query_ingester_only per_request_limits_enabled query_partition_ingesters
        query_timeout
        """
    ),
    "compactor": _names(
        """
        working_directory shared_store shared_store_key_prefix compaction_interval apply_retention_interval
        retention_enabled retention_delete_delay retention_delete_worker_count retention_table_timeout
        retention_backoff_config delete_request_store delete_request_store_key_prefix delete_request_store_db_type
        backup_delete_request_store_db_type delete_batch_size delete_request_cancel_period delete_max_interval
        max_compaction_parallelism upload_parallelism compactor_ring run_once tables_to_compact
        skip_latest_n_tables deletion_mode horizontal_scaling_mode worker_config jobs_config
        """
    ),
    "table_manager": _names(
        """
        retention_deletes_enabled retention_period throughput_updates_disabled poll_interval
        creation_grace_period index_tables_provisioning chunk_tables_provisioning
        """
    ),
    "runtime_config": frozenset({"file", "period"}),
}
"""The keys of the blocks that are of use, limits_config apart."""

UNUSED_LIMITS = _names(
    """
    ingestion_rate_strategy simulated_push_latency use_owned_stream_count unordered_writes max_chunks_per_query
    max_query_parallelism tsdb_max_query_parallelism tsdb_max_bytes_per_shard tsdb_sharding_strategy
    tsdb_precompute_chunks cardinality_limit max_cache_freshness_per_query max_metadata_cache_freshness
    max_stats_cache_freshness max_queriers_per_user max_queriers_per_tenant max_query_capacity
    query_ready_index_num_days split_queries_by_interval split_metadata_queries_by_interval
    split_recent_metadata_queries_by_interval recent_metadata_query_window
    split_instant_metric_queries_by_interval engine_results_cache_time_bucket_interval
    split_ingester_queries_by_interval min_sharding_lookback max_querier_bytes_read
    shard_streams index_gateway_shard_size index_gateway_max_capacity bloom_gateway_enable_filtering
    bloom_gateway_shard_size bloom_build_max_builders bloom_build_task_max_retries
    bloom_build_builder_response_timeout bloom_creation_enabled bloom_planning_strategy
    bloom_split_series_keyspace_by bloom_task_target_series_chunk_size bloom_block_encoding
    bloom_prefetch_blocks bloom_max_block_size bloom_max_bloom_size bloom_compactor_enable_compaction
    bloom_ngram_length bloom_ngram_skip bloom_false_positive_rate ingestion_partitions_tenant_shard_size
    shard_aggregations pattern_ingester_tokenizable_json_fields_default
    pattern_ingester_tokenizable_json_fields_append pattern_ingester_tokenizable_json_fields_delete
    metric_aggregation_enabled pattern_persistence_enabled pattern_persistence_granularity
    pattern_rate_threshold s3_sse_type s3_sse_kms_key_id s3_sse_kms_encryption_context
    allow_deletes max_scan_task_parallelism debug_engine_tasks debug_engine_streams enforce_metric_name
    """
)
"""Keys of limits_config about how Loki spreads its work; one process has no use for them."""

LATER_LIMITS = _names(
    """
    ruler_max_rules_per_rule_group ruler_max_rule_groups_per_tenant ruler_tenant_shard_size
    ruler_enable_wal_replay ruler_remote_write_disabled ruler_remote_write_url ruler_remote_write_timeout
    ruler_remote_write_headers ruler_remote_write_relabel_configs ruler_remote_write_queue_capacity
    ruler_remote_write_queue_min_shards ruler_remote_write_queue_max_shards
    ruler_remote_write_queue_max_samples_per_send ruler_remote_write_queue_batch_send_deadline
    ruler_remote_write_queue_min_backoff ruler_remote_write_queue_max_backoff
    ruler_remote_write_queue_retry_on_ratelimit ruler_remote_write_sigv4_config ruler_remote_write_config
    ruler_evaluation_delay_duration ruler_remote_evaluation_timeout ruler_remote_evaluation_max_response_size
    """
)
"""Keys of limits_config for parts that Weir does not have yet."""

TOP_KEYS = frozenset({"auth_enabled", "no_auth_tenant", "limits_config", *KEYS}) | (
    UNUSED_BLOCKS | OPEN_BLOCKS | LATER_BLOCKS
)
"""Every key there may be at the top of Loki's file."""

NOTHING = (None, False, "", 0)
"""Values that ask for nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a key cannot be had.

    Attributes:
        harmless: the values with which it may stand, besides an empty list or mapping.
        why: completes the error text.
    """

    harmless: tuple[object, ...]
    why: str


REFUSED: Mapping[str, Refusal] = {
    "target": Refusal(("all", *NOTHING), "Weir runs everything in one process, which Loki calls all"),
    "metrics_namespace": Refusal(("loki", *NOTHING), "Weir's metrics are named loki_* and weir_*"),
    "ingester.wal.enabled": Refusal((True, None), "Weir acknowledges nothing that is not in its WAL; see wal.sync"),
    "server.http_tls_config.cert": Refusal(NOTHING, "a certificate is given as a file, cert_file"),
    "server.http_tls_config.key": Refusal(NOTHING, "a certificate's key is given as a file, key_file"),
    "server.http_tls_config.client_ca": Refusal(NOTHING, "authorities are given as a file, client_ca_file"),
    "server.proxy_protocol_enabled": Refusal(NOTHING, "Weir does not speak the PROXY protocol"),
    "querier.per_request_limits_enabled": Refusal(NOTHING, "a request cannot bring limits of its own"),
    "querier.query_store_only": Refusal(NOTHING, "queries see all that is stored"),
    "querier.query_ingester_only": Refusal(NOTHING, "queries see all that is stored"),
    "query_range.align_queries_with_step": Refusal(NOTHING, "queries are answered for the times they name"),
    "distributor.default_policy_stream_mappings": Refusal(NOTHING, "there are no policies"),
    "distributor.kafka_writes_enabled": Refusal(NOTHING, "Weir does not write to Kafka"),
    "distributor.ingester_writes_enabled": Refusal((True, None), "pushes are always stored"),
    "limits_config.blocked_queries": Refusal(NOTHING, "queries cannot be blocked"),
    "limits_config.discover_generic_fields": Refusal(NOTHING, "of fields only the level is discovered"),
    "limits_config.enable_multi_variant_queries": Refusal(NOTHING, "queries have no variants"),
    "limits_config.policy_stream_mapping": Refusal(NOTHING, "there are no policies"),
    "limits_config.policy_enforced_labels": Refusal(NOTHING, "there are no policies; there is enforced_labels"),
    "limits_config.block_ingestion_policy_until": Refusal(
        NOTHING, "there are no policies; there is block_ingestion_until"
    ),
}
"""Keys that would change answers or durability and have no counterpart here."""
