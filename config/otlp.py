"""What becomes of OTLP attributes: Loki's limits_config.otlp_config under its names."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import re2
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator, model_validator

from config.units import Kind, Names

Action: TypeAlias = Literal["index_label", "structured_metadata", "drop"]

INDEX_LABELS = (
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
)
"""Resource attributes that are labels of the stream unless ignore_defaults is on (Loki's default list)."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AttributeRule(_Part):
    """What becomes of some attributes: those named, or those whose whole name a regular expression (RE2) matches."""

    action: Action
    attributes: Names = ()
    regex: str = ""

    @field_validator("regex")
    @classmethod
    def _compiles(cls, text: str) -> str:
        options = re2.Options()
        options.log_errors = False
        try:
            re2.compile(text, options)
        except re2.error as error:
            raise ValueError("no regular expression") from error
        return text

    @model_validator(mode="after")
    def _has_one(self) -> AttributeRule:
        if bool(self.attributes) == bool(self.regex):
            raise ValueError("either attributes or regex")
        return self


class ResourceRules(_Part):
    """Rules of resource attributes; the first that fits counts, and without one they are structured metadata."""

    ignore_defaults: bool = False
    attributes_config: tuple[AttributeRule, ...] = ()


class OtlpConfig(_Part):
    """All rules of a tenant. `severity_text_as_label`: a label severity_text instead of structured metadata."""

    resource_attributes: ResourceRules = ResourceRules()
    scope_attributes: tuple[AttributeRule, ...] = ()
    log_attributes: tuple[AttributeRule, ...] = ()
    severity_text_as_label: bool = False

    @field_validator("scope_attributes")
    @classmethod
    def _no_labels(cls, rules: tuple[AttributeRule, ...]) -> tuple[AttributeRule, ...]:
        if any(rule.action == "index_label" for rule in rules):
            raise ValueError("scope attributes cannot be labels")
        return rules


def _read(value: Any) -> Any:
    """A variable or a flag has it as one line of YAML or JSON."""
    if isinstance(value, str):
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError("no YAML") from error
    return value


OtlpRules: TypeAlias = Annotated[
    OtlpConfig | None,
    BeforeValidator(_read),
    Kind(
        "rules",
        "a mapping with resource_attributes, scope_attributes, log_attributes and severity_text_as_label "
        "(in a variable or a flag: as one line of YAML)",
    ),
]
"""None: the defaults alone."""
