"""From settings to what a sink of Loki's push needs: of an upstream and of an emitter."""

from __future__ import annotations

from config import Settings
from config.emitters import LokiEmitter
from config.relay import Upstream
from gateway.relay.loki import LokiOptions


def loki_options(to: Upstream | LokiEmitter, settings: Settings) -> LokiOptions:
    """How what is passed on to `to` is sent."""
    return LokiOptions(
        url=to.url,
        api_key=to.api_key.get_secret_value(),
        compression=to.compression,
        timeout=to.timeout,
        instance=settings.instance_name,
        says_tenant=settings.tenancy.enabled or bool(to.tenant),
        ca=to.tls.ca,
        client_cert=to.tls.client_cert,
        client_key=to.tls.client_key.get_secret_value(),
        insecure_skip_verify=to.tls.insecure_skip_verify,
    )
