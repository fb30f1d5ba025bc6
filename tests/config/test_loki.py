from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config import ConfigError, Limits, LoadedSettings, Settings, dump_yaml, load, loki_defaults
from config.loki import MAPPED
from config.lokikeys import KEYS, LATER_LIMITS, REFUSED, UNUSED_LIMITS
from config.retention import StreamRetention
from config.schema import field_at
from config.units import DAY, HOUR, MB, MINUTE, SECOND

FIXTURES = Path(__file__).parent / "fixtures"


def loaded(folder: Path, **blocks: Any) -> LoadedSettings:
    """What a Loki file of these blocks comes to; limits_config marks it as Loki's."""
    file = folder / "loki.yaml"
    file.write_text(yaml.safe_dump({"limits_config": {}, **blocks}, sort_keys=False))
    return load(file)


def problems(folder: Path, **blocks: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, **blocks)
    return [problem.removeprefix(f"{folder / 'loki.yaml'}: ") for problem in caught.value.problems]


def changed(settings: Settings) -> Any:
    return yaml.safe_load(dump_yaml(settings, mode="diff"))


def test_the_file_the_conformance_corpus_was_recorded_with() -> None:
    found = load(FIXTURES / "loki.yaml")
    expected = Limits(**loki_defaults()).model_copy(update={"reject_old_samples": False, "max_query_length": 0})
    assert found.settings.limits == expected
    assert found.settings.limits.out_of_order_window == HOUR
    assert found.settings.retention.period == 0
    assert not found.settings.tenancy.enabled
    assert found.settings.server.http == "127.0.0.1:3111"
    assert found.settings.log.level == "warn"
    assert found.settings.memtable.max_age == 24 * HOUR
    assert found.settings.data_dir == Path("data/weir")
    unused = [note for note in found.notes if "not used:" in note]
    assert len(unused) == 1
    for key in (
        "query_range",
        "analytics",
        "schema_config",
        "server.grpc_listen_port",
        "querier.query_ingesters_within",
    ):
        assert unused[0].count(key) == 1
    for key in ("http_listen_port", "limits_config", "chunk_idle_period", "retention_enabled", "path_prefix,"):
        assert key not in unused[0]


def test_flags_go_over_a_loki_file() -> None:
    given = [("server.http", "127.0.0.1:0"), ("data_dir", "/srv/weir"), ("limits.max_query_length", "1h")]
    settings = load(FIXTURES / "loki.yaml", given, {"WEIR_LOG__LEVEL": "debug"}).settings
    assert settings.server.http == "127.0.0.1:0"
    assert settings.data_dir == Path("/srv/weir")
    assert settings.limits.max_query_length == HOUR
    assert settings.log.level == "debug"


def test_settings_of_an_old_installation_are_taken_as_they_are() -> None:
    found = load(FIXTURES / "loki-fragment.yaml")
    assert changed(found.settings) == {
        "data_dir": "/data/loki/chunks/weir",
        "server": {"http": "0.0.0.0:3100"},
        "tenancy": {"several": False},
        "memtable": {"max_age": "3m"},
        "retention": {"period": "2w"},
        "query": {"max_concurrent": 20},
        "log": {"level": "warn"},
        "limits": {
            "reject_old_samples": True,
            "out_of_order_window": "30m",
            "ingestion_rate_mb": 4.0,
            "ingestion_burst_size_mb": 6.0,
            "max_streams_per_user": 20000,
            "per_stream_rate_limit": "3MB",
            "per_stream_rate_limit_burst": "15MB",
            "query_timeout": "5m",
        },
    }
    assert [note.removeprefix(f"{FIXTURES / 'loki-fragment.yaml'}: ") for note in found.notes] == [
        "storage_config.filesystem.directory: Weir's data_dir is /data/loki/chunks/weir; what Loki stored is not read",
        (
            "not used: index_cache_validity, ingester.chunk_retain_period, ingester.lifecycler, schema_config, "
            "storage_config.boltdb_shipper"
        ),
    ]


@pytest.mark.parametrize("mark", ["schema_config", "common", "limits_config", "ingester"])
def test_one_of_four_blocks_marks_a_file_as_lokis(tmp_path: Path, mark: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(f"{mark}: {{}}\n")
    settings = load(file).settings
    assert settings.limits == Limits(**loki_defaults())
    assert settings.tenancy.enabled
    assert settings.server.http == "0.0.0.0:3100"


def test_each_block_is_mapped(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        auth_enabled=False,
        no_auth_tenant="main",
        server={
            "http_listen_address": "::1",
            "http_listen_port": 80,
            "http_listen_conn_limit": 50,
            "http_path_prefix": "/loki/",
            "graceful_shutdown_timeout": "1m30s",
            "http_server_idle_timeout": "5m",
            "log_format": "logfmt",
            "log_level": "error",
        },
        distributor={"max_recv_msg_size": 1048576, "max_decompressed_size": 2097152},
        ingester={"max_chunk_age": "3h", "max_returned_stream_errors": 3},
        querier={"max_concurrent": 8},
        limits_config={
            "max_line_size": "1MB",
            "query_timeout": "1w",
            "discover_service_name": [],
            "reject_old_samples": "no",
        },
    ).settings
    assert settings.tenancy.model_dump() == {
        "enabled": False,
        "default": "main",
        "several": False,
        "overrides_file": "",
        "overrides_period": 10 * SECOND,
    }
    assert settings.server.address == ("::1", 80)
    assert settings.server.max_connections == 50
    assert settings.server.path_prefix == "/loki"
    assert settings.server.shutdown_timeout == 90 * SECOND
    assert settings.server.keep_alive == 5 * MINUTE
    assert (settings.log.level, settings.log.format) == ("error", "text")
    assert settings.query.max_concurrent == 8
    limits = settings.limits
    assert (limits.max_recv_msg_size, limits.max_decompressed_size) == (MB, 2 * MB)
    assert limits.out_of_order_window == 90 * MINUTE
    assert limits.max_returned_stream_errors == 3
    assert limits.max_line_size == MB
    assert limits.query_timeout == 7 * DAY
    assert limits.discover_service_name == ()
    assert not limits.reject_old_samples


def test_every_target_of_the_mapping_is_a_setting() -> None:
    assert [row.key for row in MAPPED if field_at(row.path) is None] == []


def test_no_connection_limit_leaves_ours(tmp_path: Path) -> None:
    assert loaded(tmp_path, server={"http_listen_conn_limit": 0}).settings.server.max_connections == 1000


def test_old_places_give_way_to_limits_config(tmp_path: Path) -> None:
    old = {
        "ingester": {"max_streams_per_user": 10},
        "querier": {"query_timeout": "5m"},
        "chunk_store_config": {"max_look_back_period": "48h"},
    }
    limits = loaded(tmp_path, **old).settings.limits
    assert (limits.max_streams_per_user, limits.max_global_streams_per_user) == (10, 0)
    assert (limits.query_timeout, limits.max_query_lookback) == (5 * MINUTE, 2 * DAY)
    new = {
        "max_streams_per_user": 20,
        "max_global_streams_per_user": 30,
        "query_timeout": "6m",
        "max_query_lookback": "3d",
    }
    limits = loaded(tmp_path, **old, limits_config=new).settings.limits
    assert (limits.max_streams_per_user, limits.max_global_streams_per_user) == (20, 30)
    assert (limits.query_timeout, limits.max_query_lookback) == (6 * MINUTE, 3 * DAY)


def test_retention_is_what_the_part_that_is_on_says(tmp_path: Path) -> None:
    def period(compactor: bool | None, table_manager: bool | None) -> tuple[int, int]:
        found = loaded(
            tmp_path,
            limits_config={"retention_period": "744h"},
            compactor={"retention_enabled": compactor},
            table_manager={"retention_deletes_enabled": table_manager, "retention_period": "336h"},
        )
        return found.settings.retention.period // DAY, sum("nothing is deleted" in note for note in found.notes)

    assert period(compactor=True, table_manager=None) == (31, 1)
    assert period(compactor=True, table_manager=True) == (31, 0)
    assert period(compactor=False, table_manager=True) == (14, 1)
    assert period(compactor=None, table_manager=None) == (0, 2)


def test_rules_for_streams_are_taken_with_the_compactor_and_by_tenant(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime.yaml"
    runtime.write_text(
        "overrides:\n"
        "  acme: {retention_period: 168h, retention_stream: [{selector: '{app=\"a\"}', priority: 2, period: 24h}]}\n"
        "  kept: {retention_period: 0s}\n"
    )

    def settings(*, enabled: bool) -> tuple[Settings, list[str]]:
        found = loaded(
            tmp_path,
            limits_config={
                "retention_period": "744h",
                "retention_stream": [{"selector": '{app=~"b.*"}', "priority": 1, "period": "2d"}],
            },
            compactor={"retention_enabled": enabled},
            runtime_config={"file": str(runtime)},
        )
        return found.settings, [note for note in found.notes if "nothing is deleted" in note]

    found, notes = settings(enabled=True)
    assert notes == []
    assert found.limits.retention_stream == (StreamRetention(selector='{app=~"b.*"}', period=2 * DAY, priority=1),)
    acme = found.limits_for("acme")
    assert (acme.retention_period, acme.retention_stream) == (
        7 * DAY,
        (StreamRetention(selector='{app="a"}', period=DAY, priority=2),),
    )
    assert found.limits_for("kept").retention_period == 0
    assert found.limits_for("kept").retention_stream == found.limits.retention_stream
    off, notes = settings(enabled=False)
    assert (off.retention.period, off.limits.retention_stream, off.limits_for("acme").retention_stream) == (0, (), ())
    assert len(notes) == 5


def test_where_the_data_goes(tmp_path: Path) -> None:
    chunks = {"storage": {"filesystem": {"chunks_directory": "/loki/chunks"}}}
    old = {"filesystem": {"directory": "/old"}}
    assert loaded(tmp_path, common={"path_prefix": "/loki", **chunks}).settings.data_dir == Path("/loki/weir")
    assert loaded(tmp_path, common=chunks, storage_config=old).settings.data_dir == Path("/loki/chunks/weir")
    assert loaded(tmp_path, storage_config=old).settings.data_dir == Path("/old/weir")
    assert loaded(tmp_path).settings.data_dir == Settings().data_dir


def test_durations_of_limits_are_of_prometheus_form_and_others_of_gos(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        limits_config={"max_query_length": "1.5h", "creation_grace_period": 600},
        ingester={"max_chunk_age": "1d", "chunk_idle_period": 30},
        server={"graceful_shutdown_timeout": "1w"},
        querier={"query_timeout": True},
    )
    go = "a duration of Go's, with a unit up to h, such as 30s, 1m30s, 168h"
    prometheus = "a duration of Prometheus', in whole numbers, such as 30s, 1h30m, 7d"
    assert found == [
        f"server.graceful_shutdown_timeout: '1w' is not {go}",
        f"ingester.chunk_idle_period: 30 is not {go}",
        f"ingester.max_chunk_age: '1d' is not {go}",
        f"querier.query_timeout: true is not {go}",
        f"limits_config.max_query_length: '1.5h' is not {prometheus}",
        f"limits_config.creation_grace_period: 600 is not {prometheus}",
    ]


def test_bad_values_are_told_under_lokis_names(tmp_path: Path) -> None:
    found = problems(
        tmp_path, server={"log_level": "loud"}, limits_config={"max_line_size": "big"}, auth_enabled="perhaps"
    )
    assert sorted(found) == [
        "auth_enabled (tenancy.enabled): 'perhaps' is not true or false",
        (
            "limits_config.max_line_size (limits.max_line_size): 'big' is not a size in bytes or with a unit, such as "
            "65536, 256KB, 64MB, 2GB"
        ),
        "server.log_level (log.level): 'loud' is not one of debug, info, warn, error",
    ]


def test_unknown_keys_name_the_nearest_of_lokis(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        limit_config={},
        server={"http_listen_prt": 1},
        ingester={"chunk_idle_periods": "1m"},
        limits_config={"max_line_sizes": 1},
        memtable={"size": 1},
    )
    assert sorted(found) == [
        "ingester.chunk_idle_periods: unknown key; the nearest known key of Loki is ingester.chunk_idle_period",
        "limit_config: unknown key; the nearest known key of Loki is limits_config",
        "limits_config.max_line_sizes: unknown key; the nearest known key of Loki is limits_config.max_line_size",
        "memtable: is a setting of Weir's own; beside a Loki file it is given by a flag or a variable",
        "server.http_listen_prt: unknown key; the nearest known key of Loki is server.http_listen_port",
    ]


def at(key: str, value: Any) -> dict[str, Any]:
    """A tree with one dotted key."""
    first, _, rest = key.partition(".")
    return {first: at(rest, value) if rest else value}


UNWANTED: dict[str, Any] = {
    "target": "write",
    "metrics_namespace": "cortex",
    "ingester.wal.enabled": False,
    "server.http_tls_config.cert": "-----BEGIN",
    "distributor.ingester_writes_enabled": "off",
    "distributor.default_policy_stream_mappings": {"p": [{"selector": "{}"}]},
    "limits_config.blocked_queries": [{"pattern": ".*"}],
    "limits_config.discover_generic_fields": {"fields": {"trace": ["trace_id"]}},
    "limits_config.policy_stream_mapping": {"p": [{"selector": "{}"}]},
    "limits_config.policy_enforced_labels": {"p": ["a"]},
    "limits_config.block_ingestion_policy_until": {"p": "2030-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_would_change_answers_or_durability_is_refused(tmp_path: Path, key: str) -> None:
    (problem,) = problems(tmp_path, **at(key, UNWANTED.get(key, True)))
    assert problem.startswith(f"{key}: ")
    assert problem.endswith(REFUSED[key].why)


@pytest.mark.parametrize("key", REFUSED)
def test_such_a_key_may_stand_with_a_value_that_asks_for_nothing(tmp_path: Path, key: str) -> None:
    for value in REFUSED[key].harmless:
        loaded(tmp_path, **at(key, value))
    if key == "limits_config.discover_generic_fields":
        loaded(tmp_path, **at(key, {"fields": {}}))


def test_tls_is_that_of_lokis_http_server(tmp_path: Path) -> None:
    files = {"cert_file": "/etc/s.pem", "key_file": "/etc/s.key", "client_ca_file": "/etc/ca.pem"}
    tls = loaded(tmp_path, server={"http_tls_config": files, "tls_min_version": "VersionTLS13"}).settings.tls
    assert (tls.cert, tls.key.get_secret_value(), tls.client_ca) == ("/etc/s.pem", "/etc/s.key", "/etc/ca.pem")
    assert tls.min_version == "1.3"
    assert loaded(tmp_path, server={"tls_min_version": "VersionTLS10"}).settings.tls.min_version == "1.2"
    (problem,) = problems(tmp_path, server={"tls_min_version": "TLS 1.2"})
    assert "VersionTLS12 or VersionTLS13" in problem


def test_a_target_list_with_all_in_it_is_all(tmp_path: Path) -> None:
    loaded(tmp_path, target="all,table-manager")


def test_object_storage_is_refused_where_new_data_would_go_there(tmp_path: Path) -> None:
    def periods(*stores: str) -> dict[str, Any]:
        return {"configs": [{"store": "tsdb", "object_store": store} for store in stores]}

    loaded(tmp_path, schema_config=periods("s3", "filesystem"))
    loaded(tmp_path, schema_config=periods("disk"), storage_config={"named_stores": {"filesystem": {"disk": {}}}})
    loaded(tmp_path, schema_config={"configs": [{"store": "boltdb"}]})
    (problem,) = problems(tmp_path, schema_config=periods("filesystem", "s3"))
    assert problem == "schema_config.configs.object_store: 's3' cannot be had: Weir keeps its data in a local directory"


@pytest.mark.parametrize("block", KEYS)
def test_every_known_key_may_stand_empty(tmp_path: Path, block: str) -> None:
    loaded(tmp_path, **{block: dict.fromkeys(KEYS[block])})


def test_limits_without_use_are_noted_by_whether_they_will_have_one(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, limits_config={"ruler_enable_wal_replay": True, "cardinality_limit": 5}, ruler={"enable_api": True}
    )
    assert [note.split(": ", 1)[1] for note in found.notes] == [
        "not used: limits_config.cardinality_limit",
        "not used yet: ruler, limits_config.ruler_enable_wal_replay",
    ]


def test_the_fates_of_limits_do_not_overlap() -> None:
    mapped = set(Limits.model_fields)
    refused = {key.removeprefix("limits_config.") for key in REFUSED if key.startswith("limits_config.")}
    sets = [mapped, refused, set(UNUSED_LIMITS), set(LATER_LIMITS)]
    assert len(set().union(*sets)) == sum(map(len, sets))


def test_overrides_of_tenants_come_from_lokis_runtime_file(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime.yaml"
    runtime.write_text("overrides: {acme: {max_line_size: 1MB, max_query_length: 2d, shard_streams: {}}, 29: }\n")
    for blocks in (
        {"runtime_config": {"file": str(runtime)}},
        {"limits_config": {"per_tenant_override_config": str(runtime)}},
    ):
        found = loaded(tmp_path, **blocks)
        assert changed(found.settings)["overrides"] == {"acme": {"max_line_size": "1MB", "max_query_length": "2d"}}
        assert found.settings.limits_for("acme").max_global_streams_per_user == 5000
        assert found.overrides_files == (runtime,)
        assert any(note.endswith("not used: overrides.acme.shard_streams") for note in found.notes)


def test_mistakes_in_lokis_runtime_file_name_that_file(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime.yaml"
    runtime.write_text(
        "overrides: {acme: {max_line: 1MB, blocked_queries: [{}, {hash: 1}], max_query_length: 1.5h}, b: 1}\n"
    )
    found = problems(tmp_path, runtime_config={"file": str(runtime)})
    assert [problem.removeprefix(f"{runtime}: ").split(":")[0] for problem in found] == [
        "overrides.acme.max_line",
        "overrides.acme.blocked_queries",
        "overrides.acme.max_query_length",
        "overrides.b",
    ]
    missing = tmp_path / "none.yaml"
    assert problems(tmp_path, runtime_config={"file": str(missing)}) == [
        f"{missing}: cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize("block", ["server", "limits_config", "storage_config"])
def test_a_block_that_is_no_group_of_keys(tmp_path: Path, block: str) -> None:
    assert problems(tmp_path, **{block: 5}) == [f"{block}: 5 is not a group of keys"]


def test_dates_in_a_schema_stay_text(tmp_path: Path) -> None:
    file = tmp_path / "loki.yaml"
    file.write_text(
        "schema_config: {configs: [{from: 2020-10-24, store: tsdb, object_store: filesystem, schema: v13}]}\n"
    )
    assert "schema_config" in load(file).notes[0]
