"""Serve as ``process-gateway`` does, but without validators: every read runs its plain statement.

The benchmark compares the gateway with it. Usage: as ``process-gateway``.
"""

from __future__ import annotations

from gateway.cli import main
from resolvers.operations.reads import Asked, ReadAnswer, Reads


async def _answer(reads: Reads, asked: Asked) -> ReadAnswer:
    value = await reads.database.fetch_json(asked.statement.sql, asked.arguments)
    return ReadAnswer(None if value is None else (value,), 0, "")


if __name__ == "__main__":
    setattr(Reads, Reads.answer.__name__, _answer)
    main()
