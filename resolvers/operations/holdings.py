"""Bound the memory that the operations of open subscriptions take, for each token.

A request holds its document and its variables until it is answered. A subscription holds them until
it ends, and a token may have many thousands of them.
"""

from __future__ import annotations

from collections import Counter

from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.operations.cache import document_bytes
from resolvers.operations.documents import Operation
from resolvers.operations.run import PreparedOperation

_BYTES = 2_000
"""Memory of a subscription besides its document and its variables."""


class Holdings:
    """What subscriptions hold, by the token that they are for.

    Args:
        most: Bytes that those of one token may take, as estimated.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._operations: dict[str, Counter[Operation]] = {}
        self._bytes: Counter[str] = Counter()

    def hold(self, owner: str, prepared: PreparedOperation) -> None:
        """Count a subscription. Those of one document share it.

        Raises:
            GatewayError: ``RATE_LIMITED``: its token holds too much.
        """
        operations = self._operations.get(owner, Counter())
        size = _size(prepared)
        if prepared.operation not in operations:
            size += document_bytes(prepared.operation.tokens)
        if self._bytes[owner] + size > self._most:
            raise GatewayError(
                ErrorKind.RATE_LIMITED,
                "the documents and variables of this token's subscriptions take too much memory;"
                " end some of them, or use one document with short variables",
                retry_after=1,
            )
        self._bytes[owner] += size
        self._operations[owner] = operations
        operations[prepared.operation] += 1

    def release(self, owner: str, prepared: PreparedOperation) -> None:
        """Undo one ``hold``."""
        operations = self._operations[owner]
        self._bytes[owner] -= _size(prepared)
        operations[prepared.operation] -= 1
        if not operations[prepared.operation]:
            del operations[prepared.operation]
            self._bytes[owner] -= document_bytes(prepared.operation.tokens)
        if not operations:
            del self._operations[owner], self._bytes[owner]


def _size(prepared: PreparedOperation) -> int:
    return _BYTES + prepared.size
