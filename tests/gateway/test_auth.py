"""Tenants and scopes."""

import pytest

from gateway.auth import BadTenant, NoTenant, check_tenant, route_label


@pytest.mark.parametrize("name", ["fake", "team-1", "a!-_.*'()Z9", "x" * 150, "...", "a|a"])
def test_a_valid_tenant_is_taken(name: str) -> None:
    assert check_tenant(name) == name.split("|", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("a/../b", "tenant ID 'a/../b' contains unsupported character '/'"),
        ("a b", "tenant ID 'a b' contains unsupported character ' '"),
        ("é", "tenant ID 'é' contains unsupported character 'é'"),
        ("x" * 151, "tenant ID is too long: max 150 characters"),
        (".", "tenant ID is '.' or '..'"),
        ("..", "tenant ID is '.' or '..'"),
        ("t1|t2", "multiple org IDs present"),
        ("t1|t/2", "tenant ID 't/2' contains unsupported character '/'"),
    ],
)
def test_another_is_refused_in_lokis_words(header: str, text: str) -> None:
    with pytest.raises(BadTenant) as caught:
        check_tenant(header)
    assert str(caught.value) == text


def test_a_header_of_bars_names_nobody() -> None:
    with pytest.raises(NoTenant, match="no org id"):
        check_tenant("|")


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/loki/api/v1/push", "loki_api_v1_push"),
        ("/loki/api/v1/label/{name}/values", "loki_api_v1_label_name_values"),
        ("/ready", "ready"),
    ],
)
def test_a_route_is_named_in_metrics_as_dskit_names_it(path: str, label: str) -> None:
    assert route_label(path) == label
