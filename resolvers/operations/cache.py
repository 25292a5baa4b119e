"""Keep the documents that were used most recently, bounded by the memory that they take."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from resolvers.operations.documents import Document, Operation

# As measured with tracemalloc: a document of 33 tokens takes 28 KB, one of 917 takes 310 KB.
_BYTES = 20_000
"""Memory of a parsed document."""
_BYTES_PER_TOKEN = 450
"""Memory for each of its tokens: the token, and its share of the nodes and locations."""
_LARGEST_SHARE = 8
"""One document may take this fraction of the cache."""


def document_bytes(tokens: int) -> int:
    """Return the memory of a parsed document with so many tokens, as estimated."""
    return _BYTES + tokens * _BYTES_PER_TOKEN


class CacheInfo(NamedTuple):
    """Statistics of a cache, since the start."""

    hits: int
    misses: int
    size: int
    """Documents in the cache."""
    bytes: int
    """Memory that they take, as estimated."""


@dataclass(slots=True)
class _Entry:
    document: Document
    bytes: int


class DocumentCache:
    """Documents by their text, each with what was computed for it.

    Args:
        max_bytes: The memory that the documents may take, as estimated. The least recently used
            ones are dropped first.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0

    def get(self, text: str) -> Document | None:
        """Return the document with this text, if it is cached."""
        entry = self._entries.get(text)
        if entry is None:
            self._misses += 1
            return None
        self._hits += 1
        self._entries.move_to_end(text)
        return entry.document

    def add(self, document: Document) -> None:
        """Cache a document, unless it is too large."""
        size = document_bytes(document.tokens)
        if document.text not in self._entries and size <= self._max_bytes // _LARGEST_SHARE:
            self._entries[document.text] = _Entry(document, 0)
            self._grow(document.text, size)

    def grow(self, operation: Operation, size: int) -> None:
        """Count memory of what was computed for an operation of a document, and is kept with it.

        A document that takes too large a share of the cache is dropped.
        """
        entry = self._entries.get(operation.text)
        # Another document of the same text may have replaced that of the operation.
        if entry is not None and operation in entry.document.operations.values():
            self._grow(operation.text, size)

    def _grow(self, text: str, size: int) -> None:
        entry = self._entries[text]
        entry.bytes += size
        self._bytes += size
        if entry.bytes > self._max_bytes // _LARGEST_SHARE:
            self._drop(text)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def info(self) -> CacheInfo:
        """Return the statistics of the cache."""
        return CacheInfo(self._hits, self._misses, len(self._entries), self._bytes)

    def _drop(self, text: str) -> None:
        entry = self._entries.pop(text)
        self._bytes -= entry.bytes
