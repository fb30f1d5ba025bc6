"""Emitters: relays whose sinks are files, standard output, nowhere, or another Loki."""

from gateway.emit.build import emitter_parts

__all__ = ["emitter_parts"]
