from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from config import Limits, Settings, loki_defaults
from config.address import split_address
from config.units import HOUR, MB


def test_the_defaults_take_what_the_machine_can_take() -> None:
    limits = Settings().limits
    assert limits == Limits()
    assert not limits.reject_old_samples
    assert limits.out_of_order_window == 0
    assert limits.ingestion_rate_mb == 0
    assert limits.max_global_streams_per_user == limits.max_streams_per_user == 0
    assert limits.per_stream_rate_limit == 0


def test_lokis_defaults_are_lokis() -> None:
    limits = Limits(**loki_defaults())
    assert limits.reject_old_samples
    assert limits.out_of_order_window == HOUR
    assert (limits.ingestion_rate_mb, limits.ingestion_burst_size_mb) == (4, 6)
    assert limits.max_global_streams_per_user == 5000
    assert (limits.per_stream_rate_limit, limits.per_stream_rate_limit_burst) == (3 * MB, 15 * MB)
    assert limits.max_label_names_per_series == 15
    assert limits.max_entries_limit_per_query == 5000
    assert limits.max_line_size == 262_144


def test_only_what_differs_is_in_lokis_defaults() -> None:
    ours = Limits().model_dump()
    assert all(ours[name] != value for name, value in loki_defaults().items())


def test_a_tenants_overrides_go_over_the_common_limits_name_by_name() -> None:
    settings = Settings(
        limits=Limits(max_line_size=10, max_query_series=7),
        overrides={"acme": Limits(max_line_size=20), "strict": Limits(max_query_series=500)},
    )
    assert settings.limits_for("acme") == Limits(max_line_size=20, max_query_series=7)
    assert settings.limits_for("strict") == Limits(max_line_size=10, max_query_series=500)
    assert settings.limits_for("other") is settings.limits


def test_limits_of_a_tenant_are_worked_out_once() -> None:
    settings = Settings(overrides={"acme": Limits(max_line_size=20)})
    assert settings.limits_for("acme") is settings.limits_for("acme")


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.data_dir = Path("elsewhere")
    with pytest.raises(ValidationError, match="frozen"):
        settings.limits.max_line_size = 1


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("127.0.0.1:3100", "127.0.0.1", 3100),
        (":3100", "0.0.0.0", 3100),
        ("[::1]:0", "::1", 0),
        ("logs.example:65535", "logs.example", 65535),
    ],
)
def test_addresses(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)


@pytest.mark.parametrize(
    "address", ["3100", "localhost", "localhost:", "localhost:http", "localhost:65536", "::1:80", "h:-1"]
)
def test_no_addresses(address: str) -> None:
    with pytest.raises(ValueError, match="host"):
        split_address(address)


def test_a_query_of_several_tenants_is_held_to_the_strictest_limits() -> None:
    settings = Settings.model_validate(
        {
            "limits": {"max_entries_limit_per_query": 0, "required_labels": ["app"]},
            "overrides": {
                "a": {"max_query_length": "1h", "minimum_labels_number": 2},
                "b": {"max_entries_limit_per_query": 7, "required_labels": ["env"], "volume_enabled": False},
            },
        }
    )
    both = settings.limits_for("a|b")
    assert (both.max_query_length, both.max_entries_limit_per_query, both.minimum_labels_number) == (HOUR, 7, 2)
    assert both.required_labels == ("app", "env")
    assert not both.volume_enabled
    assert settings.limits_for("a|other").max_entries_limit_per_query == 0
    assert settings.limits_for("a").max_query_length == HOUR
