"""The `stats` object of a query's answer: every key of Loki's, with what was read, and 0 where nothing is alike."""

from __future__ import annotations

from typing import Any

import msgspec

from logql import Reading, Stats

_CACHES = (
    "chunk",
    "index",
    "result",
    "statsResult",
    "volumeResult",
    "seriesResult",
    "labelResult",
    "instantMetricResult",
    "logResult",
    "taskResult",
)
_CACHE_KEYS = (
    "entriesFound",
    "entriesRequested",
    "entriesStored",
    "bytesReceived",
    "bytesSent",
    "requests",
    "downloadTime",
    "queryLengthServed",
)
_DATAOBJ_KEYS = (
    "prePredicateDecompressedRows",
    "prePredicateDecompressedBytes",
    "prePredicateDecompressedStructuredMetadataBytes",
    "postPredicateRows",
    "postPredicateDecompressedBytes",
    "postPredicateStructuredMetadataBytes",
    "postFilterRows",
    "pagesScanned",
    "pagesDownloaded",
    "pagesDownloadedBytes",
    "pageBatches",
    "totalRowsAvailable",
    "totalPageDownloadTime",
    "wireBytesTransferred",
)
_CHUNK_KEYS = (
    "headChunkBytes",
    "headChunkLines",
    "decompressedBytes",
    "decompressedLines",
    "compressedBytes",
    "totalDuplicates",
    "postFilterLines",
    "headChunkStructuredMetadataBytes",
    "decompressedStructuredMetadataBytes",
)
_ZERO_CHUNK = dict.fromkeys(_CHUNK_KEYS, 0)
_ZERO_DATAOBJ = dict.fromkeys(_DATAOBJ_KEYS, 0)
_ZERO_CACHES = {cache: dict.fromkeys(_CACHE_KEYS, 0) for cache in _CACHES}
_ZERO_INDEX = {
    "totalChunks": 0,
    "postFilterChunks": 0,
    "shardsDuration": 0,
    "usedBloomFilters": False,
    "totalStreams": 0,
    "chunkRefsLookupTime": 0,
    "bloomFilterTime": 0,
}


def stats_json(stats: Stats, queue_time: float) -> bytes:
    """The object. What came from memory is under `ingester`, what came from blocks under `querier`, as in Loki.

    Args:
        stats: what the query read.
        queue_time: seconds it waited before.
    """
    memory, blocks = stats.memory, stats.blocks
    per_second = 1 / stats.exec_time if stats.exec_time > 0 else 0.0
    return msgspec.json.encode(
        {
            "summary": {
                "bytesProcessedPerSecond": int(stats.bytes * per_second),
                "linesProcessedPerSecond": int(stats.lines * per_second),
                "totalBytesProcessed": stats.bytes,
                "totalLinesProcessed": stats.lines,
                "execTime": stats.exec_time,
                "queueTime": queue_time,
                "subqueries": 0,
                "totalEntriesReturned": stats.entries_returned,
                "splits": 0,
                "shards": 0,
                "totalPostFilterLines": stats.post_filter_lines,
                "totalStructuredMetadataBytesProcessed": stats.metadata_bytes,
            },
            "querier": {
                "store": _store(
                    blocks,
                    decompressedBytes=blocks.line_bytes + blocks.metadata_bytes,
                    decompressedLines=blocks.lines,
                    decompressedStructuredMetadataBytes=blocks.metadata_bytes,
                    compressedBytes=blocks.compressed_bytes,
                    postFilterLines=stats.post_filter_lines,
                ),
                "querierExecTime": stats.exec_time,
            },
            "ingester": {
                "totalReached": 1,
                "totalChunksMatched": memory.units,
                "totalBatches": memory.units,
                "totalLinesSent": memory.lines,
                "store": _store(
                    memory,
                    headChunkBytes=memory.line_bytes + memory.metadata_bytes,
                    headChunkLines=memory.lines,
                    headChunkStructuredMetadataBytes=memory.metadata_bytes,
                ),
            },
            "cache": _ZERO_CACHES,
            "index": _ZERO_INDEX,
        }
    )


def _store(reading: Reading, **chunk: int) -> dict[str, Any]:
    return {
        "totalChunksRef": reading.units,
        "totalChunksDownloaded": reading.units,
        "chunksDownloadTime": 0,
        "queryReferencedStructuredMetadata": reading.metadata_bytes > 0,
        "queryUsedV2Engine": False,
        "chunk": _ZERO_CHUNK | chunk,
        "chunkRefsFetchTime": 0,
        "congestionControlLatency": 0,
        "pipelineWrapperFilteredLines": 0,
        "dataobj": _ZERO_DATAOBJ,
    }
