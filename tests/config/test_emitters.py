"""Settings of emitters, and the AGGREGATOR_* variables, from the environment and from a .env file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from config import ConfigError, Settings, dump_yaml, load
from config.aggregator import NAMES
from config.emitters import FileEmitter, LokiEmitter, StdoutEmitter
from config.notify import PagerDuty
from config.units import DAY, MB, SECOND

PEM = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"
BLOCK = {
    "AGGREGATOR_MAX_BATCH_SIZE": "500",
    "AGGREGATOR_MINIMUM_PUBLISH_FREQUENCY": "1m30s",
    "AGGREGATOR_TEXT_CONFIGURATION": "{}",
    "AGGREGATOR_NOTIFY_CONFIGURATION": '{"integration_key": "s3cret", "incident_key": "shop", "identifier": "edge-7"}',
    "AGGREGATOR_TLS": "1",
    "AGGREGATOR_TLS_CERTIFICATE": PEM.replace("\n", "\\n"),
    "AGGREGATOR_TLS_KEY": "/etc/weir/key.pem",
    "AGGREGATOR_TLS_CA_CERTIFICATE": "/etc/weir/ca.pem",
}


def is_the_block(settings: Settings) -> None:
    assert (settings.emit.max_batch_size, settings.emit.minimum_publish_frequency) == (500, 90 * SECOND)
    (emitter,) = settings.emitters
    assert isinstance(emitter, StdoutEmitter)
    assert emitter.format == "text"
    (pager,) = settings.notify
    assert isinstance(pager, PagerDuty)
    assert (pager.key.get_secret_value(), pager.incident_key, pager.source) == ("s3cret", "shop", "edge-7")
    tls = settings.tls
    assert (tls.cert, tls.key.get_secret_value(), tls.client_ca) == (PEM, "/etc/weir/key.pem", "/etc/weir/ca.pem")
    assert "s3cret" not in dump_yaml(settings)


def test_the_block_of_an_aggregator_is_taken_from_the_environment() -> None:
    assert set(BLOCK) == set(NAMES)
    is_the_block(load(environ=BLOCK).settings)


def test_and_from_a_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / "weir.yml").write_text("log: {level: info}\n")
    (tmp_path / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in BLOCK.items()))
    is_the_block(load(tmp_path / "weir.yml").settings)


def test_pem_text_may_have_its_lines(tmp_path: Path) -> None:
    given = {"AGGREGATOR_TLS": "1", "AGGREGATOR_TLS_CERTIFICATE": PEM}
    assert load(environ=given).settings.tls.cert == PEM.strip()
    (tmp_path / "weir.yml").write_text("")
    (tmp_path / ".env").write_text(f'AGGREGATOR_TLS=1\nAGGREGATOR_TLS_CERTIFICATE="{PEM}"\n')
    assert load(tmp_path / "weir.yml").settings.tls.cert == PEM.strip()


@pytest.mark.parametrize("off", ["0", "", None])
def test_tls_that_is_off_stays_off_whatever_else_is_given(off: str | None) -> None:
    given = {name: value for name, value in BLOCK.items() if name != "AGGREGATOR_TLS"}
    if off is not None:
        given["AGGREGATOR_TLS"] = off
    assert load(environ=given).settings.tls.cert == ""


def test_an_empty_variable_says_nothing() -> None:
    assert load(environ=dict.fromkeys(BLOCK, "")).settings == Settings()


def test_weirs_own_names_go_before_and_the_file_behind(tmp_path: Path) -> None:
    file = tmp_path / "weir.yml"
    file.write_text("emitters: [{kind: blackhole}]\nemit: {max_batch_size: 7, minimum_publish_frequency: 7s}\n")
    own = {"WEIR_EMIT__MAX_BATCH_SIZE": "9"}
    settings = load(file, environ={**BLOCK, **own}).settings
    assert (settings.emit.max_batch_size, settings.emit.minimum_publish_frequency) == (9, 90 * SECOND)
    assert [one.kind for one in settings.emitters] == ["stdout"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AGGREGATOR_MAX_BATCH_SIZE", "0", "'0' is not a whole number from 1"),
        ("AGGREGATOR_MINIMUM_PUBLISH_FREQUENCY", "1d", "is not a duration such as 15s, 500ms, 1m30s"),
        ("AGGREGATOR_MINIMUM_PUBLISH_FREQUENCY", "15", "is not a duration such as"),
        ("AGGREGATOR_NOTIFY_CONFIGURATION", "s3cret", "is not JSON with integration_key"),
        ("AGGREGATOR_NOTIFY_CONFIGURATION", '{"incident_key": "s3cret"}', "is not JSON with integration_key"),
        (
            "AGGREGATOR_NOTIFY_CONFIGURATION",
            '{"integration_key": "s3cret", "x": 1}',
            "is not JSON with integration_key",
        ),
        ("AGGREGATOR_TLS", "yes", "is neither 0 nor 1"),
        ("AGGREGATOR_TLS", "1", "is 1, and AGGREGATOR_TLS_CERTIFICATE says no certificate"),
    ],
)
def test_what_cannot_be_used_is_told_by_name_and_not_shown(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(environ={name: value})
    (problem,) = refused.value.problems
    assert problem.startswith(name)
    assert said in problem
    assert "s3cret" not in problem


def test_emitters_have_kinds_and_defaults(tmp_path: Path) -> None:
    file = tmp_path / "weir.yml"
    file.write_text(
        "emitters:\n"
        "  - {kind: file, path: '/var/log/{name}/{tenant}.jsonl', rotate_every: 24h, max_backlog: 1GB}\n"
        "  - {kind: loki, name: far, url: 'https://far', api_key: s3cret, add_labels: {site: berlin},\n"
        "     tls: {ca: /ca.pem}, on_failure: discard, retries: 2, minimum_publish_frequency: 1s, max_batch_size: 10}\n"
    )
    archive, far = load(file).settings.emitters
    assert isinstance(archive, FileEmitter)
    assert (archive.rotate_size, archive.rotate_every, archive.gzip) == (100 * MB, DAY, True)
    assert (archive.max_batch_size, archive.minimum_publish_frequency, archive.max_backlog) == (None, None, 1 << 30)
    assert isinstance(far, LokiEmitter)
    assert (far.on_failure, far.retries, far.max_batch_size, far.minimum_publish_frequency) == (
        "discard",
        2,
        10,
        SECOND,
    )
    assert (far.add_labels, far.tls.ca, far.label()) == ({"site": "berlin"}, "/ca.pem", "far")


def test_what_is_shown_loads_again(tmp_path: Path) -> None:
    listed = "[{kind: file, path: /a}, {kind: stdout, format: text}, {kind: blackhole, max_backlog: 2MB}]"
    settings = load(environ={"WEIR_EMITTERS": listed}).settings
    shown = tmp_path / "shown.yml"
    shown.write_text(yaml.safe_dump({"emitters": yaml.safe_load(dump_yaml(settings))["emitters"]}))
    assert load(shown).settings.emitters == settings.emitters


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("[{kind: file}]", "number 1: file: path: is needed"),
        ("[{kind: file, path: '/logs/{tenat}'}]", "number 1: file: path: {tenat}: there is {tenant}, {name}"),
        ("[{kind: file, path: '/logs/'}]", "number 1: file: path: is not the path of a file"),
        ("[{kind: file, path: '/logs/{tenant'}]", "number 1: file: path: is not the path of a file"),
        ("[{kind: file, path: /a, rotate_size: big}]", "rotate_size: is not a size in bytes"),
        ("[{kind: stdout, name: a b}]", "number 1: stdout: name: is not a name"),
        ("[{kind: stdout, max_batch_size: 0}]", "max_batch_size: Input should be greater than or equal to 1"),
        ("[{kind: stdout, on_failure: drop}]", "on_failure: Input should be 'keep' or 'discard'"),
        ("[{kind: stdout}, {kind: stdout, name: b}]", "there is one standard output"),
        ("[{kind: blackhole}, {kind: blackhole}]", "two are called blackhole"),
        ("[{kind: file, path: /a}, {kind: file, name: b, path: /a}]", "two write to /a"),
        ("[{kind: loki, url: ftp://x}]", "number 1: loki: url: is not a URL such as"),
        ("[{kind: nats}]", "number 1: kind: there is none of that name"),
    ],
)
def test_what_is_wrong_with_an_emitter_is_told_by_its_place(listed: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(environ={"WEIR_EMITTERS": listed})
    (problem,) = refused.value.problems
    assert problem.startswith("WEIR_EMITTERS: ")
    assert said in problem
