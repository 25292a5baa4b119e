"""In charge of the envelope that every answer of the /process dialect comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import orjson

from resolvers.errors.catalogue import ErrorKind, GatewayError
from rest_compat.body_model import JsonSchema
from rest_compat.errors import ERROR_CODES, http_status

DialectStatus = Literal["http", "always-200"]
"""Whether errors have HTTP's status, or 200 for clients that look at nothing but the envelope."""


@dataclass(frozen=True, slots=True)
class ProcessEnvelope:
    """``{"error": …, "code": …, "message": …}``, and ``data`` where there is any."""

    statuses: DialectStatus = "http"

    def status(self, kind: ErrorKind) -> int:
        """The HTTP status of an error."""
        return http_status(kind) if self.statuses == "http" else 200

    def success(self, data: tuple[bytes, ...] | None) -> tuple[bytes, ...]:
        """The body of a success, around JSON in parts."""
        if data is None:
            return (b'{"error":false,"code":"ok","message":""}',)
        return b'{"error":false,"code":"ok","message":"","data":', *data, b"}"

    def failure(self, error: GatewayError) -> bytes:
        """The body of an error."""
        return orjson.dumps(
            {"error": True, "code": ERROR_CODES[error.kind].process, "message": error.message}
        )

    def success_schema(self, data: JsonSchema | None) -> JsonSchema:
        """The JSON Schema of ``success``, around that of the data."""
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
        """The JSON Schema of ``failure``."""
        properties: JsonSchema = {
            "error": {"const": True},
            "code": {"enum": [ERROR_CODES[kind].process for kind in ErrorKind]},
            "message": {"type": "string", "description": "What to mend."},
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
