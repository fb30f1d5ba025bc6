"""format_query: a query as Loki's pretty printer writes it. No data is asked."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import tenant_of
from gateway.query.gojson import text_json
from gateway.query.params import first
from gateway.query.pool import Ticket
from gateway.query.request import json_response, read_form
from gateway.query.work import run_for
from logql import LogQLError, format_query, parse_unbuilt

_JSON = "application/json; charset=utf-8"


async def pretty_query(request: Request) -> Response:
    """The query, formatted; or its error, which is JSON here and nowhere else."""
    text = first(await read_form(request), "query")
    accepted = request.headers.get("accept-encoding", "")

    def work(_ticket: Ticket) -> Response:
        try:
            pretty = format_query(parse_unbuilt(text))
        except LogQLError as error:
            body = b'{"status":"invalid-query","error":%b}\n' % text_json(str(error))
            return json_response(body, accepted, _JSON, 400)
        return json_response(b'{"status":"success","data":%b}\n' % text_json(pretty), accepted, _JSON)

    return await run_for(request, tenant_of(request), work)
