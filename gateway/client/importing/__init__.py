"""Log files to a server's push API: found, read, cut into batches, sent so that each line is stored once.

Invariant: what a batch holds follows from the file, the flags and the state alone, never from when it is read. So a
batch that is sent again, by this run or a later one, has the same bytes under the same id.
"""

from __future__ import annotations

from gateway.client.importing.entries import Rejected, Row
from gateway.client.importing.reading import Fields, Format, Reading
from gateway.client.importing.run import Figures, Options, import_source, preview
from gateway.client.importing.sending import Sender, Stopped
from gateway.client.importing.source import Source, find_sources
from gateway.client.importing.state import SUFFIX, Importing
from gateway.client.importing.when import time_rule

__all__ = [
    "SUFFIX",
    "Fields",
    "Figures",
    "Format",
    "Importing",
    "Options",
    "Reading",
    "Rejected",
    "Row",
    "Sender",
    "Source",
    "Stopped",
    "find_sources",
    "import_source",
    "preview",
    "time_rule",
]
