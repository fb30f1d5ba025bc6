"""Upstreams in settings files, and the variables under which others know them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from config import ConfigError, Settings, dump_yaml, load
from config.relay_variables import NAMES, relay_settings
from config.units import DAY, SECOND

BLOCK = {
    "UPSTREAM_ENABLED": "true",
    "UPSTREAM_SERVER": "https://central.example.org",
    "UPSTREAM_API_KEY": "s3cret",
    "UPSTREAM_BATCH_SIZE": "500",
    "UPSTREAM_BATCH_INTERVAL": "60",
    "UPSTREAM_BATCH_SIZE_MIN": "0.25",
    "UPSTREAM_BATCH_SIZE_RECOVERY": "0.2",
    "UPSTREAM_COMPRESSION": "true",
    "UPSTREAM_TIMEOUT": "45",
    "INSTANCE_NAME": "edge-7",
    "LOG_RETENTION_DAYS": "30",
    "LOG_LEVEL": "WARNING",
    "PORT": "8080",
}


def of(file: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    file.write_text(text)
    return load(file, environ=environ).settings


def problems(environ: Mapping[str, str] | None = None, file: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(file, environ=environ)
    return list(error.value.problems)


def check_block(settings: Settings) -> None:
    upstream = settings.upstream
    assert upstream.enabled
    assert upstream.url == "https://central.example.org"
    assert upstream.api_key.get_secret_value() == "s3cret"
    assert (upstream.batch_size, upstream.batch_interval, upstream.timeout) == (500, 60 * SECOND, 45 * SECOND)
    assert (upstream.batch_size_min, upstream.batch_size_recovery) == (0.25, 0.2)
    assert upstream.compression == "gzip"
    assert settings.instance_name == "edge-7"
    assert settings.retention.period == 30 * DAY
    assert settings.log.level == "warn"
    assert settings.server.http == "127.0.0.1:8080"
    assert "s3cret" not in dump_yaml(settings) + repr(settings)


def test_the_variables_as_one_block_of_the_environment() -> None:
    check_block(load(environ=BLOCK).settings)


def test_the_variables_as_one_block_of_a_file_beside_the_settings_or_where_the_server_starts(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in BLOCK.items()))
    check_block(load(directory=tmp_path).settings)
    file = tmp_path / "weir.yml"
    check_block(of(file, "upstream: {batch_size: 7}\n"))
    assert of(file, "", {"UPSTREAM_BATCH_SIZE": "8"}).upstream.batch_size == 8
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "weir.yml").write_text("data_dir: x\n")
    assert load(elsewhere / "weir.yml", directory=tmp_path).settings.upstream == Settings().upstream


def test_every_variable_is_described() -> None:
    assert (
        list(NAMES)
        == [each.variable for each in relay_settings(BLOCK)]
        == [name for name in BLOCK if name != "LOG_RETENTION_DAYS"]
    )


def test_every_variable_stands_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    for name, meaning in NAMES.items():
        assert f"| `{name}` | {meaning} |" in page


def test_our_own_variables_and_flags_go_before_them() -> None:
    environ = BLOCK | {"WEIR_UPSTREAM__BATCH_SIZE": "9", "WEIR_SERVER__HTTP": "0.0.0.0:1"}
    settings = load(environ=environ, overrides=[("upstream.timeout", "3s")]).settings
    assert (settings.upstream.batch_size, settings.upstream.timeout) == (9, 3 * SECOND)
    assert settings.server.http == "0.0.0.0:1"


@pytest.mark.parametrize(
    ("written", "meant"), [("true", "gzip"), ("false", "none"), ("SNAPPY", "snappy"), ("none", "none"), ("1", "gzip")]
)
def test_compression_is_a_name_or_yes_and_no(written: str, meant: str) -> None:
    assert load(environ={"UPSTREAM_COMPRESSION": written}).settings.upstream.compression == meant


@pytest.mark.parametrize(
    ("written", "ns"), [("60", 60 * SECOND), ("1.5", SECOND * 3 // 2), ("1m30s", 90 * SECOND), ("250ms", SECOND // 4)]
)
def test_times_are_seconds_or_have_a_unit(written: str, ns: int) -> None:
    assert load(environ={"UPSTREAM_BATCH_INTERVAL": written}).settings.upstream.batch_interval == ns


@pytest.mark.parametrize(
    ("text", "http"),
    [
        ("server: {http: '0.0.0.0:3100'}", "0.0.0.0:99"),
        ("server: {http: '[::1]:3100'}", "[::1]:99"),
        ("", "127.0.0.1:99"),
    ],
)
def test_a_port_keeps_the_host(tmp_path: Path, text: str, http: str) -> None:
    file = tmp_path / "weir.yml"
    assert of(file, text, {"PORT": "99"}).server.http == http
    assert load(file, [("--http", "h:5")], {"PORT": "99"}).settings.server.http == "h:5"


def test_empty_variables_say_nothing() -> None:
    assert load(environ=dict.fromkeys(BLOCK, "")).settings == Settings()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("UPSTREAM_ENABLED", "maybe", "UPSTREAM_ENABLED (upstream.enabled): 'maybe' is not true or false"),
        ("UPSTREAM_BATCH_INTERVAL", "soon", "UPSTREAM_BATCH_INTERVAL: is neither a number of seconds nor a duration"),
        ("UPSTREAM_COMPRESSION", "zip", "UPSTREAM_COMPRESSION: is not true, false, gzip, snappy or none"),
        ("UPSTREAM_BATCH_SIZE_MIN", "2", "UPSTREAM_BATCH_SIZE_MIN (upstream.batch_size_min): '2' is not a part"),
        ("UPSTREAM_SERVER", "central:3100", "UPSTREAM_SERVER (upstream.url): 'central:3100' is not a URL such as"),
        ("UPSTREAM_SERVER", "ftp://u:pw@c", "UPSTREAM_SERVER (upstream.url): 'ftp://***@c' is not a URL such as"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: is not debug, info, warn or error"),
        ("PORT", "http", "PORT: is not a port"),
    ],
)
def test_what_is_wrong_is_told_by_the_variable(name: str, value: str, problem: str) -> None:
    (found,) = problems({name: value})
    assert found.startswith(problem)


def test_the_instance_is_called_as_the_machine_unless_it_is_said() -> None:
    assert Settings().instance_name == socket.gethostname()
    assert load(environ={"WEIR_INSTANCE_NAME": ""}).settings.instance_name == socket.gethostname()
    assert load(environ={"WEIR_INSTANCE_NAME": "a b"}).settings.instance_name == "a b"


def test_several_upstreams_with_labels_and_tls(tmp_path: Path) -> None:
    settings = of(
        tmp_path / "weir.yml",
        """
upstreams:
  - name: central
    url: https://central.example.org/logs/push
    selector: '{env="prod"}'
    add_labels: {site: berlin, rack: 7}
    batch_interval: 5s
    tls: {ca: /etc/ca.pem, client_cert: /etc/own.pem, client_key: /etc/own.key}
    max_backlog: 2GB
  - name: second
    url: http://loki:3100
    compression: snappy
""",
    )
    first, second = settings.upstreams
    assert first.add_labels == {"site": "berlin", "rack": "7"}
    assert (first.batch_interval, first.batch_size, first.max_backlog) == (5 * SECOND, 1000, 2 << 30)
    assert first.tls.client_key.get_secret_value() == "/etc/own.key"
    assert (second.name, second.compression) == ("second", "snappy")
    shown = tmp_path / "shown.yml"
    shown.write_text(dump_yaml(settings).replace("'**********'", "/etc/own.key"))
    assert load(shown).settings.upstreams == settings.upstreams


def test_labels_in_a_variable() -> None:
    for text in ("site=berlin, rack=7", '{"site": "berlin", "rack": 7}'):
        labels = load(environ={"WEIR_UPSTREAM__ADD_LABELS": text}).settings.upstream.add_labels
        assert labels == {"site": "berlin", "rack": "7"}
    (found,) = problems({"WEIR_UPSTREAM__ADD_LABELS": "no-name=x"})
    assert found.startswith("WEIR_UPSTREAM__ADD_LABELS (upstream.add_labels): 'no-name=x' is not labels such as")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("upstreams: [{url: http://a}]", "each needs a name and a url"),
        ("upstreams: [{name: a}]", "each needs a name and a url"),
        ("upstreams: [{name: a, url: http://a}, {name: a, url: http://b}]", "two are called a"),
        ("upstreams: [{name: 'a b', url: http://a}]", "number 1: name: is not a name"),
        ("upstreams: [{name: a, url: nowhere}]", "number 1: url: is not a URL such as"),
        ("upstreams: [{name: a, url: http://a, api_key: [s3cret]}]", "number 1: api_key: "),
        ("upstreams: [{name: a, url: http://a, batch_interval: 30}]", "number 1: batch_interval: is not a duration"),
        ("upstream: {enabled: true}", "upstream.enabled: is true, and upstream.url says no URL"),
        (
            "upstream: {enabled: true, url: http://a, name: x}\nupstreams: [{name: x, url: http://b}]",
            "upstreams: one has the name of `upstream`, x",
        ),
    ],
)
def test_what_is_wrong_with_upstreams_is_told_without_secrets(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "weir.yml"
    file.write_text(text)
    (found,) = problems(file=file)
    assert problem in found
    assert "s3cret" not in found


def test_notes_tell_of_keys_in_clear_text_and_of_what_is_not_enabled() -> None:
    clear = {"UPSTREAM_ENABLED": "1", "UPSTREAM_SERVER": "http://u:pw@c:3100"}
    assert load(environ=clear).notes == (
        "upstream upstream: http://***@c:3100 is http:// and gets a key in clear text",
    )
    keyed = {"UPSTREAM_ENABLED": "1", "UPSTREAM_SERVER": "http://c", "UPSTREAM_API_KEY": "s3cret"}
    assert load(environ=keyed).notes == ("upstream upstream: http://c is http:// and gets a key in clear text",)
    assert load(environ=keyed | {"UPSTREAM_SERVER": "https://c"}).notes == ()
    off = load(environ=keyed | {"UPSTREAM_ENABLED": "false"})
    assert off.notes == ("upstream.url is given and upstream.enabled is not: nothing is passed on",)
