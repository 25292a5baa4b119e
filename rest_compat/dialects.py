"""Build both legacy dialects, checked against the schema and ready to run."""

from __future__ import annotations

from collections.abc import Iterable

from resolvers.operations.compile import OperationCompiler
from rest_compat.check import compile_dialect
from rest_compat.handler import CompiledDialect
from rest_compat.process.envelope import DialectStatus
from rest_compat.process.routes import process_dialect
from rest_compat.processes.routes import processes_dialect


def build_dialects(
    compiler: OperationCompiler, *, process_dialect_status: DialectStatus
) -> tuple[CompiledDialect, ...]:
    """Build both dialects.

    Raises:
        RouteError: A route does not fit the schema; the message names the route and the field.
    """
    dialects = (process_dialect(process_dialect_status), processes_dialect())
    return tuple(compile_dialect(dialect, compiler) for dialect in dialects)


def describe_routes(dialects: Iterable[CompiledDialect]) -> list[tuple[str, ...]]:
    """Describe every route: dialect, method, path, operation and permission, padded to columns."""
    rows = [
        (
            dialect.name,
            compiled.route.method,
            compiled.route.path,
            compiled.route.operation,
            compiled.operation.permission.value if compiled.operation.permission else "-",
        )
        for dialect in dialects
        for compiled in dialect.routes
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        tuple(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    ]
