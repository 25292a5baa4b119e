"""In charge of the two legacy REST dialects, as data.

A dialect is a table of routes, each one GraphQL operation in the dialect's words; pydantic models
of its bodies; and an envelope. ``build_dialects`` validates all of it against the schema. Nothing
here speaks HTTP: the gateway hands over a ``Request`` and sends the ``Response``.
"""

from __future__ import annotations

from resolvers.operations.compile import OperationCompiler
from rest_compat.dialect import RouteError
from rest_compat.handler import CompiledDialect, compile_dialect, describe_routes
from rest_compat.http import Request, Response
from rest_compat.openapi import openapi_document
from rest_compat.process.envelope import DialectStatus
from rest_compat.process.routes import process_dialect
from rest_compat.processes.routes import processes_dialect

__all__ = [
    "CompiledDialect",
    "DialectStatus",
    "Request",
    "Response",
    "RouteError",
    "build_dialects",
    "describe_routes",
    "openapi_document",
]


def build_dialects(
    compiler: OperationCompiler, *, process_dialect_status: DialectStatus
) -> tuple[CompiledDialect, ...]:
    """Both dialects, validated against the schema and ready to run.

    Raises:
        RouteError: a route does not fit the schema; the message names the route and the field.
    """
    dialects = (process_dialect(process_dialect_status), processes_dialect())
    return tuple(compile_dialect(dialect, compiler) for dialect in dialects)
