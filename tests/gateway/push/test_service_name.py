"""service_name is found among the labels, as recorded of Loki (push-116 to push-121)."""

import pytest

from config.limits import SERVICE_NAME_LABELS
from gateway.push.service_name import with_service_name
from tests.gateway.push.pushes import labels_of


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"container": "cont", "job": "jobby"}, "cont"),
        ({"job": "jobby", "component": "comp"}, "comp"),
        ({"name": "nm", "workload": "wl"}, "nm"),
        ({"app": "", "name": "nm"}, "nm"),
        ({"service_name": ""}, "unknown_service"),
        ({"service_name": "mine", "app": "x"}, "mine"),
        ({"k8s_job_name": "j"}, "j"),
        ({}, "unknown_service"),
    ],
)
def test_the_first_candidate_present_is_taken(labels: dict[str, str], name: str) -> None:
    made = with_service_name(labels_of(labels), SERVICE_NAME_LABELS)
    assert dict(made)["service_name"] == name
    assert list(made) == sorted(made)


def test_nothing_is_added_without_candidates() -> None:
    assert with_service_name((("app", "x"),), ()) == (("app", "x"),)


def test_lokis_own_streams_get_none() -> None:
    labels = labels_of({"__aggregated_metric__": "x"})
    assert with_service_name(labels, SERVICE_NAME_LABELS) == labels


def test_repeated_names_stay_for_validation_to_report() -> None:
    labels = (("app", "x"), ("app", "y"), ("zone", "z"))
    assert [name for name, _ in with_service_name(labels, SERVICE_NAME_LABELS)] == [
        "app",
        "app",
        "service_name",
        "zone",
    ]
