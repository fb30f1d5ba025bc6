"""Settings of notifiers: what they take, what is said of what they do not, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import ConfigError, dump_yaml, load
from config.notify import EVENTS, PAGERDUTY, PagerDuty, Slack, Webhook
from config.units import HOUR, SECOND


def test_notifiers_have_kinds_and_defaults(tmp_path: Path) -> None:
    file = tmp_path / "weir.yml"
    file.write_text(
        "notify:\n"
        "  - {kind: pagerduty, key: 0123abcd, incident_key: shop}\n"
        "  - {kind: slack, url: 'https://hooks.slack.com/services/T/B/x', events: [relay, disk], repeat: 1h}\n"
        "  - {kind: webhook, url: 'http://ops:8080/', headers: {Authorization: Bearer abc}}\n"
    )
    pager, slack, hook = load(file).settings.notify
    assert isinstance(pager, PagerDuty)
    assert (pager.key.get_secret_value(), pager.url.get_secret_value(), pager.events) == ("0123abcd", PAGERDUTY, EVENTS)
    assert isinstance(slack, Slack)
    assert (slack.events, slack.repeat, slack.timeout) == (("relay", "disk"), HOUR, 10 * SECOND)
    assert isinstance(hook, Webhook)
    assert hook.headers["Authorization"].get_secret_value() == "Bearer abc"
    assert [one.label() for one in (pager, slack, hook)] == ["pagerduty", "slack", "webhook"]


def test_a_variable_has_them_as_one_line_and_one_alone_is_a_list_of_it() -> None:
    found = load(environ={"WEIR_NOTIFY": '{"kind": "webhook", "url": "http://ops/", "name": "ops"}'}).settings.notify
    assert [one.label() for one in found] == ["ops"]
    assert load(environ={"WEIR_NOTIFY": ""}).settings.notify == ()


def test_nothing_that_is_shown_has_a_secret() -> None:
    listed = (
        "[{kind: pagerduty, key: s3cret1}, {kind: slack, url: 'https://hooks.slack.com/s3cret2'},"
        " {kind: webhook, url: 'http://u:s3cret3@ops/', headers: {X-Key: s3cret4}}]"
    )
    settings = load(environ={"WEIR_NOTIFY": listed}).settings
    for text in (dump_yaml(settings), repr(settings)):
        assert "s3cret" not in text


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("[{kind: slack}]", "number 1: slack: url: is needed"),
        ("[{kind: pagerduty, key: k, repeat: 30}]", "number 1: pagerduty: repeat: is not a duration with a unit"),
        ("[{kind: slack, url: s3cret}]", "number 1: slack: url: is not an http:// or https:// address"),
        ("[{kind: webhook, url: 'http://a/', events: [relay, foo]}]", "events: foo: there is relay, disk, sync"),
        ("[{kind: webhook, url: 'http://s3cret/', bogus: s3cret}]", "number 1: webhook: bogus: is no key of it"),
        ("[{kind: webhook, url: 'http://a/'}, {kind: webhook, url: 'http://s3cret/'}]", "two are called webhook"),
        ("[{kind: mail, url: s3cret}]", "number 1: kind: there is none of that name"),
        ("[{url: 'http://s3cret/'}]", "number 1: kind: is needed"),
        ("[s3cret]", "number 1: is no mapping of keys"),
        ("[{kind: slack", "no YAML"),
    ],
)
def test_what_is_wrong_is_told_by_its_place_and_not_shown(listed: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(environ={"WEIR_NOTIFY": listed})
    (problem,) = refused.value.problems
    assert problem.startswith("WEIR_NOTIFY: ")
    assert said in problem
    assert "s3cret" not in problem
