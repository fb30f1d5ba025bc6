"""Sends log records as a user of OpenTelemetry's SDK does: argv has the endpoint and the compression."""

import logging
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

endpoint, compression = sys.argv[1:]
resource = Resource.create(
    {"service.name": "shop", "service.namespace": "eu", "service.instance.id": "i-1", "host.name": "web-1"}
)
provider = LoggerProvider(resource=resource)
exporter = OTLPLogExporter(endpoint=endpoint, compression=Compression(compression))
provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
log = logging.getLogger("shop.orders")
log.setLevel(logging.DEBUG)
log.addHandler(LoggingHandler(logger_provider=provider))

log.debug("cart opened")
log.info(
    "order %d placed by Jürgen 日本 😀", 17, extra={"order.id": 17, "vip": True, "ratio": 0.25, "tags": ["a", "b"]}
)
tracer = TracerProvider(resource=resource).get_tracer("shop")
with tracer.start_as_current_span("pay") as span:
    log.warning("slow")
    context = span.get_span_context()
    print(f"{context.trace_id:032x} {context.span_id:016x}")
try:
    raise RuntimeError("no such customer")
except RuntimeError:
    log.exception("order failed")
provider.shutdown()
