"""What Grafana's alerting asks of every Loki: which rules and alerts there are. Weir evaluates none: there are none.

Grafana lists the first two for each datasource and shows an error where they fail; they answer as a ruler without
rules. The lists of rule groups answer as Loki does where a tenant has none. What would write rules is no route:
Grafana takes `404 page not found` there for a datasource without a ruler.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway.auth import tenants_of

_NONE = b'{"status":"success","data":{"%b":[]},"errorType":"","error":""}'


async def no_rules(request: Request) -> Response:
    """The rules by group, as Prometheus tells them: none."""
    tenants_of(request)
    return Response(_NONE % b"groups", media_type="application/json")


async def no_alerts(request: Request) -> Response:
    """The alerts that fire: none."""
    tenants_of(request)
    return Response(_NONE % b"alerts", media_type="application/json")


async def no_rule_groups(request: Request) -> Response:
    """The rule groups as YAML; 404 as in Loki where there is none."""
    tenants_of(request)
    return PlainTextResponse("no rule groups found\n", status_code=404)
