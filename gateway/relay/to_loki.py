"""From settings to the sink that pushes to a Loki: of an upstream and of an emitter."""

from __future__ import annotations

from collections.abc import Callable

from config import Settings
from config.emitters import LokiEmitter
from config.relay import Upstream
from gateway.relay.sink import Sink


def loki_sink(to: Upstream | LokiEmitter, settings: Settings, path: Callable[[], str], user_agent: str) -> Sink:
    """The sink of what is passed on to `to`.

    Args:
        to: it.
        settings: of the server.
        path: gives X-Weir-Path.
        user_agent: of requests.

    Raises:
        OSError: a certificate cannot be read.
    """
    from gateway.relay.loki import LokiOptions, LokiSink  # noqa: PLC0415 - a server that passes nothing on needs no httpx

    options = LokiOptions(
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
    return LokiSink(options, path, user_agent)
