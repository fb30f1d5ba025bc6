from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import ConfigError, Settings, dump_yaml, load
from config.retention import Retention, StreamRetention
from config.units import DAY, GB, HOUR, MB


def written(folder: Path, text: str) -> Path:
    file = folder / "weir.yml"
    file.write_text(text)
    return file


def problems(**given: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(**given)
    return list(caught.value.problems)


def test_nothing_expires_unless_it_is_said() -> None:
    settings = Settings()
    assert settings.retention == Retention(period=0, max_total_size=0, min_free_space=0)
    assert settings.limits.retention_period is None
    assert settings.limits.retention_stream == ()


def test_all_of_it_in_a_file_and_shown_again(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "retention: {period: 30d, max_total_size: 200GB, min_free_space: 12.5%}\n"
        "limits:\n"
        "  retention_stream:\n"
        "    - {selector: '{level=\"debug\"}', period: 36h, priority: 1}\n"
        "    - {selector: '{app=\"audit\"}', period: 0, priority: 2}\n"
        "overrides:\n"
        "  acme: {retention_period: 1y, retention_stream: []}\n",
    )
    settings = load(file).settings
    assert settings.retention.period == 30 * DAY
    assert settings.retention.max_total_size == 200 * GB
    assert settings.retention.min_free_space == 0.125
    assert settings.limits.retention_stream == (
        StreamRetention(selector='{level="debug"}', period=36 * HOUR, priority=1),
        StreamRetention(selector='{app="audit"}', period=0, priority=2),
    )
    assert settings.limits_for("acme").retention_period == 365 * DAY
    assert settings.limits_for("acme").retention_stream == ()
    for text in (dump_yaml(settings), dump_yaml(settings, mode="diff")):
        shown = written(tmp_path, text)
        assert load(shown).settings == settings
    assert "min_free_space: 12.5%" in dump_yaml(settings)


def test_a_file_of_defaults_leaves_ages_to_the_common_setting(tmp_path: Path) -> None:
    """What `weir config show` prints must not fix a tenant's age at none."""
    shown = written(tmp_path, dump_yaml(Settings()))
    settings = load(shown, environ={"WEIR_RETENTION__PERIOD": "7d"}).settings
    assert settings.limits.retention_period is None
    assert settings.retention.period == 7 * DAY


@pytest.mark.parametrize("given", ["59m", "1ns", "3599s", "-1h", "1", "soon", ""])
def test_an_age_below_an_hour_is_refused(given: str) -> None:
    (problem,) = problems(environ={"WEIR_RETENTION__PERIOD": given})
    assert problem == (
        f"WEIR_RETENTION__PERIOD (retention.period): '{given}' is not a duration of 1h or more, such as 36h, 30d, 1y, "
        "or 0 to keep everything"
    )


@pytest.mark.parametrize(("given", "period"), [("1h", HOUR), ("90m", 90 * 60 * 10**9), ("0", 0), ("0s", 0)])
def test_an_hour_is_enough_and_nothing_is_for_ever(given: str, period: int) -> None:
    settings = load(environ={"WEIR_RETENTION__PERIOD": given, "WEIR_LIMITS__RETENTION_PERIOD": given}).settings
    assert settings.retention.period == settings.limits.retention_period == period


def test_a_number_in_a_file_needs_a_unit(tmp_path: Path) -> None:
    (problem,) = problems(config_file=written(tmp_path, "retention: {period: 30}\n"))
    assert "retention.period: 30 is not a duration of 1h or more" in problem
    assert load(written(tmp_path, "retention: {period: 0}\n")).settings.retention.period == 0


@pytest.mark.parametrize(
    ("given", "free"),
    [("0", 0), ("500MB", 500 * MB), ("1048576", MB), ("10%", 0.1), ("0.5 %", 0.005), ("99%", 0.99)],
)
def test_free_space_in_bytes_or_percent(given: str, free: float) -> None:
    assert load(environ={"WEIR_RETENTION__MIN_FREE_SPACE": given}).settings.retention.min_free_space == free


@pytest.mark.parametrize("given", ["100%", "-5%", "0.1", "10 percent", "%"])
def test_what_is_no_free_space(given: str) -> None:
    (problem,) = problems(environ={"WEIR_RETENTION__MIN_FREE_SPACE": given})
    assert problem.endswith("is not a size such as 500MB or 20GB, a percentage below 100 such as 10%, or 0")


def test_a_part_of_one_in_a_file_is_no_percentage(tmp_path: Path) -> None:
    assert len(problems(config_file=written(tmp_path, "retention: {min_free_space: 0.1}\n"))) == 1


@pytest.mark.parametrize(
    "rules",
    [
        "[{selector: '{a=\"b\"}', period: 30m}]",
        "[{selector: '{a=\"b\"}'}]",
        "[{period: 1d}]",
        "[{selector: '{a=\"b\"}', period: 1d, prio: 1}]",
        "{selector: x}",
        "[",
    ],
)
def test_rules_that_are_none(rules: str) -> None:
    (problem,) = problems(environ={"WEIR_LIMITS__RETENTION_STREAM": rules})
    assert "WEIR_LIMITS__RETENTION_STREAM (limits.retention_stream): " in problem
    assert "a period of 1h or more" in problem


def test_rules_in_a_variable_and_a_flag() -> None:
    rules = "[{selector: '{a=\"b\"}', period: 24h, priority: 3}]"
    expected = (StreamRetention(selector='{a="b"}', period=DAY, priority=3),)
    settings = load(
        None, [("overrides.acme.retention_stream", rules)], {"WEIR_LIMITS__RETENTION_STREAM": rules}
    ).settings
    assert settings.limits.retention_stream == settings.overrides["acme"].retention_stream == expected


def test_days_from_the_environment(tmp_path: Path) -> None:
    def period(text: str = "", **environ: str) -> int:
        return load(written(tmp_path, text), environ=environ).settings.retention.period

    assert period(LOG_RETENTION_DAYS="7") == 7 * DAY
    assert period(LOG_RETENTION_DAYS="0.5") == 12 * HOUR
    assert period(LOG_RETENTION_DAYS="0") == 0
    assert period(LOG_RETENTION_DAYS="7", WEIR_RETENTION__PERIOD="2h") == 2 * HOUR
    assert period(WEIR_RETENTION__PERIOD="2h", LOG_RETENTION_DAYS="7") == 2 * HOUR
    assert period("retention: {period: 3d}\n", LOG_RETENTION_DAYS="7") == 7 * DAY
    assert period("retention: {period: 3d}\n", LOG_RETENTION_DAYS="") == 3 * DAY
    (tmp_path / ".env").write_text("LOG_RETENTION_DAYS=5\n")
    assert period() == 5 * DAY
    assert period(LOG_RETENTION_DAYS="6") == 6 * DAY


def test_days_go_over_a_loki_file(tmp_path: Path) -> None:
    file = written(
        tmp_path, "limits_config: {retention_period: 744h}\ncompactor: {retention_enabled: true}\nauth_enabled: false\n"
    )
    assert load(file).settings.retention.period == 31 * DAY
    assert load(file, environ={"LOG_RETENTION_DAYS": "3"}).settings.retention.period == 3 * DAY


@pytest.mark.parametrize("days", ["7d", "a week", "-1", "1e3", "nan"])
def test_what_is_no_number_of_days(days: str) -> None:
    assert problems(environ={"LOG_RETENTION_DAYS": days}) == [f"LOG_RETENTION_DAYS: '{days}' is not a number of days"]


def test_days_below_an_hour() -> None:
    (problem,) = problems(environ={"LOG_RETENTION_DAYS": "0.01"})
    assert problem.startswith("LOG_RETENTION_DAYS (retention.period): '0.01d' is not a duration of 1h or more")
