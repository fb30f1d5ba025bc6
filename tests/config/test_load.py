from __future__ import annotations

from pathlib import Path

import pytest

from config import ConfigError, Settings, load
from config.units import GB, HOUR, KB, MB, MINUTE, SECOND


def written(folder: Path, text: str, name: str = "weir.yml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def problems(**given: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(**given)  # type: ignore[arg-type]
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


def test_nothing_given_is_the_defaults() -> None:
    loaded = load()
    assert loaded.settings == Settings()
    assert loaded.notes == ()


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load(written(tmp_path, "# nothing\n")).settings == Settings()


def test_every_source_goes_over_the_one_before(tmp_path: Path) -> None:
    sizes = []
    file = written(tmp_path, "data_dir: /srv/weir\n")

    def size(**given: object) -> int:
        return load(config_file=file, profile="small", **given).settings.memtable.size  # type: ignore[arg-type]

    sizes.append(load(file).settings.memtable.size)
    sizes.append(size())
    file.write_text("memtable: {size: 17MB}\n")
    sizes.append(size())
    written(tmp_path, "WEIR_MEMTABLE__SIZE=18MB\n", ".env")
    sizes.append(size())
    sizes.append(size(environ={"WEIR_MEMTABLE__SIZE": "19MB"}))
    sizes.append(size(environ={"WEIR_MEMTABLE__SIZE": "19MB"}, overrides=[("memtable.size", "20MB")]))
    assert sizes == [64 * MB, 16 * MB, 17 * MB, 18 * MB, 19 * MB, 20 * MB]


def test_the_last_flag_of_a_path_holds() -> None:
    settings = load(overrides=[("server.http", ":1"), ("server.http", ":2")]).settings
    assert settings.server.address == ("0.0.0.0", 2)


def test_the_small_profile() -> None:
    settings = load(profile="small").settings
    assert (settings.memtable.size, settings.wal.reserve, settings.query.threads) == (16 * MB, 16 * MB, 2)


def test_units_in_every_source(tmp_path: Path) -> None:
    file = written(
        tmp_path, "memtable: {max_age: 1m30s, size: 1GB}\nlimits: {retention_period: 7d, max_line_size: 65536}\n"
    )
    environ = {"WEIR_QUERY__TIMEOUT": "1.5h", "WEIR_WAL__RESERVE": "64KB", "WEIR_LIMITS__MAX_QUERY_LENGTH": "0"}
    settings = load(file, [("limits.ingestion_rate_mb", "2.5")], environ).settings
    assert settings.memtable.max_age == 90 * SECOND
    assert settings.memtable.size == GB
    assert settings.limits.retention_period == 7 * 24 * HOUR
    assert settings.limits.max_line_size == 64 * KB
    assert settings.query.timeout == 90 * MINUTE
    assert settings.wal.reserve == 64 * KB
    assert settings.limits.max_query_length == 0
    assert settings.limits.ingestion_rate_mb == 2.5


@pytest.mark.parametrize("word", ["off", "'off'", "false"])
def test_sync_off_is_off_however_yaml_reads_it(tmp_path: Path, word: str) -> None:
    assert load(written(tmp_path, f"wal: {{sync: {word}}}\n")).settings.wal.sync == "off"


@pytest.mark.parametrize(
    ("word", "value"), [("true", True), ("yes", True), ("on", True), ("false", False), ("no", False)]
)
def test_booleans(tmp_path: Path, word: str, value: bool) -> None:
    assert load(written(tmp_path, f"tenancy: {{enabled: {word}}}\n")).settings.tenancy.enabled is value
    assert load(environ={"WEIR_TENANCY__ENABLED": word}).settings.tenancy.enabled is value


def test_numbers_are_text_where_text_is_meant(tmp_path: Path) -> None:
    file = written(
        tmp_path, "tenancy: {default: 42}\noverrides: {7: {max_line_size: 1}}\nlimits: {enforced_labels: [1, a]}\n"
    )
    settings = load(file).settings
    assert settings.tenancy.default == "42"
    assert settings.limits_for("7").max_line_size == 1
    assert settings.limits.enforced_labels == ("1", "a")


def test_names_have_commas_between_them_in_variables_and_flags() -> None:
    environ = {"WEIR_LIMITS__ENFORCED_LABELS": "a, b,", "WEIR_LIMITS__DISCOVER_SERVICE_NAME": ""}
    limits = load(None, [("limits.required_labels", "c")], environ).settings.limits
    assert limits.enforced_labels == ("a", "b")
    assert limits.discover_service_name == ()
    assert limits.required_labels == ("c",)


def test_overrides_of_tenants(tmp_path: Path) -> None:
    file = written(tmp_path, "limits: {max_query_series: 9}\noverrides: {acme: {max_line_size: 1KB}, other: }\n")
    environ = {"WEIR_OVERRIDES__Acme__MAX_LINE_SIZE": "2KB"}
    settings = load(
        file, [("overrides.a.b.max_line_size", "3KB"), ("overrides.acme.max_query_series", "5")], environ
    ).settings
    assert settings.limits_for("acme").max_line_size == KB
    assert settings.limits_for("acme").max_query_series == 5
    assert settings.limits_for("Acme").max_line_size == 2 * KB
    assert settings.limits_for("a.b").max_line_size == 3 * KB
    assert settings.limits_for("a.b").max_query_series == 9
    assert settings.limits_for("other") == settings.limits


def test_a_heading_without_keys_changes_nothing(tmp_path: Path) -> None:
    assert load(written(tmp_path, "server:\nlimits:\noverrides:\n")).settings == Settings()


def test_dotenv_lines(tmp_path: Path) -> None:
    written(tmp_path, "# sizes\nexport WEIR_WAL__RESERVE='1MB'\nPATH=/bin\nWEIR_LOG__LEVEL=debug # loud\n", ".env")
    settings = load(written(tmp_path, "")).settings
    assert settings.wal.reserve == MB
    assert settings.log.level == "debug"


def test_variables_of_the_clients_are_no_settings() -> None:
    assert load(environ={"WEIR_ADDR": "http://x", "WEIR_KERNEL_CACHE": "/tmp", "PATH": "/bin"}).settings == Settings()


def test_variables_kubernetes_makes_for_a_service_named_weir_are_no_settings() -> None:
    links = {
        "WEIR_SERVICE_HOST": "10.0.0.1",
        "WEIR_SERVICE_PORT_HTTP": "3100",
        "WEIR_PORT": "tcp://10.0.0.1:3100",
        "WEIR_PORT_3100_TCP_ADDR": "10.0.0.1",
        "WEIR_QUERY_SERVICE_HOST": "10.0.0.2",
    }
    assert load(environ={"KUBERNETES_SERVICE_HOST": "10.0.0.0", **links}).settings == Settings()
    assert len(problems(environ=links)) == len(links)


def test_unknown_keys_name_the_nearest_known_one(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "server: {htp: x}\nmemtables: {size: 1}\nsegment_size: 1\nlimits: {max_lines_size: 1}\n"
        "overrides: {acme: {line: 1}}\n",
    )
    given = {"WEIR_SERVER_HTTP": ":1", "WEIR_OVERRIDES__acme__MAX_LINE": "1"}
    assert problems(config_file=file, environ=given, overrides=[("data-dir", "x")]) == [
        f"{file}: server.htp: unknown key; the nearest known key is server.http",
        f"{file}: memtables: unknown key; the nearest known key is memtable",
        f"{file}: segment_size: unknown key; the nearest known key is wal.segment_size",
        f"{file}: limits.max_lines_size: unknown key; the nearest known key is limits.max_line_size",
        f"{file}: overrides.acme.line: unknown key; the nearest known key is overrides.acme.max_line_size",
        "WEIR_SERVER_HTTP: unknown key; the nearest known key is WEIR_SERVER__HTTP",
        "WEIR_OVERRIDES__acme__MAX_LINE: unknown key; the nearest known key is WEIR_OVERRIDES__acme__MAX_LINE_SIZE",
        "--set data-dir: unknown key; the nearest known key is data_dir",
    ]


def test_a_key_of_lokis_in_a_file_that_is_not_known_as_lokis_is_explained(tmp_path: Path) -> None:
    (problem,) = problems(config_file=written(tmp_path, "auth_enabled: false\n"))
    assert "one of Loki's" in problem
    assert "limits_config" in problem


@pytest.mark.parametrize(
    ("path", "value", "allowed"),
    [
        ("server.http", "3100", "host:port"),
        ("server.path_prefix", "logs", "a path that begins with /"),
        ("server.max_connections", "0", "a whole number from 1"),
        ("server.keep_alive", "30", "a duration with a unit"),
        ("server.keep_alive", "-1s", "a duration with a unit"),
        ("tenancy.enabled", "perhaps", "true or false"),
        ("tenancy.default", "", "a tenant's name"),
        ("wal.sync", "always", "one of commit, interval, off"),
        ("memtable.size", "64 potatoes", "a size in bytes or with a unit"),
        ("memtable.size", "-5", "a size in bytes or with a unit"),
        ("block.compression_level", "23", "a whole number from 1 to 22"),
        ("query.threads", "many", "a whole number from 1"),
        ("log.level", "loud", "one of debug, info, warn, error"),
        ("limits.max_label_names_per_series", "-1", "a whole number from 0"),
        ("limits.ingestion_rate_mb", "nan", "a number from 0"),
        ("limits.block_ingestion_until", "tomorrow", "a time such as"),
        ("limits.block_ingestion_status_code", "99", "an HTTP status"),
        ("data_dir", "", "a path"),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_what_is_allowed(path: str, value: str, allowed: str) -> None:
    (problem,) = problems(overrides=[(path, value)])
    assert problem.startswith(f"--set {path}: {value!r} is not {allowed}")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("server: {keep_alive: 30}", "server.keep_alive: 30 is not a duration"),
        ("memtable: {size: true}", "memtable.size: true is not a size"),
        ("memtable: {size: 1.5}", "memtable.size: 1.5 is not a size"),
        ("memtable: {size: }", "memtable.size: an empty value is not a size"),
        ("server: {max_connections: true}", "server.max_connections: true is not a whole number"),
        ("limits: {enforced_labels: {a: b}}", "limits.enforced_labels: {'a': 'b'} is not a list of names"),
        ("limits: {enforced_labels: [a, [b]]}", "limits.enforced_labels: ['a', ['b']] is not a list of names"),
        ("log: debug", "log: 'debug' is not a group of keys; it takes level, format"),
        ("overrides: {acme: 1}", "overrides.acme: 1 is not a group of keys; it takes the names of limits"),
    ],
)
def test_values_of_yaml_that_are_of_another_kind(tmp_path: Path, text: str, key: str) -> None:
    file = written(tmp_path, text)
    (problem,) = problems(config_file=file)
    assert problem.startswith(f"{file}: {key}")


def test_a_flag_that_stands_for_a_setting_is_named_as_it_was_typed() -> None:
    (problem,) = problems(overrides=[("--http", "nonsense")])
    assert problem.startswith("--http (server.http): 'nonsense' is not host:port")
    assert load(overrides=[("server.http", ":1"), ("--http", ":2")]).settings.server.http == ":2"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("overrides: {acme: {max_line_size: 5x}}", "overrides.acme.max_line_size: '5x' is not a size"),
        ("limits: {max_line_size: 1KB}", "limits: only `overrides` may stand here"),
        ("overrides: {acme: {max_lines: 1}}", "overrides.acme.max_lines: unknown key"),
        ("overrides: [", "line 1: "),
    ],
)
def test_mistakes_in_the_overrides_file_name_that_file(tmp_path: Path, said: str, problem: str) -> None:
    file = tmp_path / "overrides.yml"
    file.write_text(said)
    (found,) = problems(overrides=[("tenancy.overrides_file", str(file))])
    assert found.startswith(f"{file}: {problem}")


def test_the_overrides_file_goes_over_the_settings_file_and_under_flags(tmp_path: Path) -> None:
    file = tmp_path / "overrides.yml"
    file.write_text("overrides: {acme: {max_line_size: 2KB, max_query_length: 2h}}")
    weir = written(
        tmp_path,
        f"tenancy: {{overrides_file: {file}}}\n"
        "overrides: {acme: {max_line_size: 1KB, max_query_series: 7}, b: {max_line_size: 9KB}}",
    )
    found = load(weir, [("overrides.acme.max_query_length", "3h")])
    acme = found.settings.limits_for("acme")
    assert (acme.max_line_size, acme.max_query_series, acme.max_query_length) == (2 * KB, 7, 3 * HOUR)
    assert found.settings.limits_for("b").max_line_size == 9 * KB
    assert found.overrides_files == (file,)


def test_variables_and_flags_that_name_a_group() -> None:
    assert problems(environ={"WEIR_LOG": "debug", "WEIR_OVERRIDES__acme": "1"}, overrides=[("overrides", "x")]) == [
        "WEIR_LOG: names a group of keys; it takes level, format, max_bulk_bytes",
        "WEIR_OVERRIDES__acme: names a group of keys; it takes the names of limits",
        "--set overrides: names a group of keys; it takes tenants, each with limits",
    ]


def test_all_problems_of_all_sources_are_listed_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "wal: {sync: always}\nfoo: 1\n")
    env = written(tmp_path, "WEIR_LOG__LEVEL=loud\nthis is no assignment\n", ".env")
    found = problems(config_file=file, environ={"WEIR_QUERY__THREADS": "0"}, overrides=[("server.http", "x")])
    assert sorted(problem.split(": ")[0] for problem in found) == sorted(
        [str(file), str(file), str(env), str(env), "WEIR_QUERY__THREADS (query.threads)", "--set server.http"]
    )
    assert f"{env}: line 2: is not KEY=value" in found


def test_a_value_that_a_later_source_replaces_is_not_looked_at(tmp_path: Path) -> None:
    file = written(tmp_path, "log: {level: loud}\n")
    assert load(file, [("log.level", "warn")]).settings.log.level == "warn"


def test_an_unknown_profile() -> None:
    assert problems(profile="tiny") == ["--profile: 'tiny' is not a profile; there is small"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("server: [", "line 1: "),
        ("server: {}\nserver: {}\n", "line 2: the key server stands twice"),
        ("memtable:\n  size: 1\n  size: 2\n", "line 3: the key size stands twice"),
        ("- a\n- b\n", "holds no keys"),
        ("just text", "holds no keys"),
        ("a: !!python/object:os.system {}", "line 1: could not determine a constructor"),
        ("? [a]\n: b", "line 1: found unhashable key"),
    ],
)
def test_files_that_are_no_settings(tmp_path: Path, text: str, what: str) -> None:
    file = written(tmp_path, text)
    (problem,) = problems(config_file=file)
    assert problem.startswith(f"{file}: {what}")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "no.yml"
    assert problems(config_file=missing) == [f"{missing}: cannot be read: No such file or directory"]
    latin = tmp_path / "latin.yml"
    latin.write_bytes(b"data_dir: /srv/\xe9\n")
    assert problems(config_file=latin) == [f"{latin}: is not UTF-8 text (byte 15)"]
