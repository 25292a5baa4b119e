"""Build the envelope of the responses of the /process dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import orjson

from resolvers.errors.catalogue import ErrorKind, GatewayError
from rest_compat.body_model import JsonSchema
from rest_compat.errors import ERROR_CODES, http_status

DialectStatus = Literal["http", "always-200"]
"""The status of errors: HTTP's, or always 200 for clients that only read the envelope."""


@dataclass(frozen=True, slots=True)
class ProcessEnvelope:
    """``{"error": …, "code": …, "message": …}``, plus ``data`` if the route returns data."""

    statuses: DialectStatus = "http"

    def status(self, kind: ErrorKind) -> int:
        """Return the HTTP status of an error."""
        return http_status(kind) if self.statuses == "http" else 200

    def success(self, data: tuple[bytes, ...] | None) -> tuple[bytes, ...]:
        """Return the body of a success, in parts. ``data`` is JSON in parts."""
        if data is None:
            return (b'{"error":false,"code":"ok","message":""}',)
        return b'{"error":false,"code":"ok","message":"","data":', *data, b"}"

    def failure(self, error: GatewayError) -> bytes:
        """Return the body of an error."""
        return orjson.dumps(
            {"error": True, "code": ERROR_CODES[error.kind].process, "message": error.message}
        )

    def success_schema(self, data: JsonSchema | None) -> JsonSchema:
        """Return the JSON Schema of ``success``, which includes the schema of the data."""
        properties: JsonSchema = {
            "error": {"const": False},
            "code": {"const": "ok"},
            "message": {"const": ""},
        }
        if data is not None:
            properties["data"] = data
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def failure_schema(self) -> JsonSchema:
        """Return the JSON Schema of ``failure``."""
        properties: JsonSchema = {
            "error": {"const": True},
            "code": {"enum": [ERROR_CODES[kind].process for kind in ErrorKind]},
            "message": {"type": "string", "description": "What to correct."},
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
