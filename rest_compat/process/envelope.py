"""Write the envelope of the /process dialect's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import orjson

from resolvers.errors.catalogue import ErrorKind, GatewayError
from rest_compat.body_model import SCHEMAS, JsonSchema
from rest_compat.errors import ERROR_CODES, http_status
from storage.database.stream import Parts

DialectStatus = Literal["http", "always-200"]
"""Send errors with their HTTP status, or with 200 for clients that read only the envelope."""


@dataclass(frozen=True, slots=True)
class ProcessEnvelope:
    """``{"error": …, "code": …, "message": …}``, with ``data`` if the route has an answer."""

    statuses: DialectStatus = "http"

    def status(self, kind: ErrorKind) -> int:
        """Return the HTTP status of an error."""
        return http_status(kind) if self.statuses == "http" else 200

    def success(self, data: Parts | None) -> Parts:
        """Return the body of a success around its data, which is JSON in parts."""
        if data is None:
            return (b'{"error":false,"code":"ok","message":""}',)
        return b'{"error":false,"code":"ok","message":"","data":', *data, b"}"

    def failure(self, error: GatewayError) -> bytes:
        """Return the body of an error."""
        return orjson.dumps(
            {"error": True, "code": ERROR_CODES[error.kind].process, "message": error.message}
        )

    def success_schema(self, data: JsonSchema | None) -> JsonSchema:
        """Return the JSON Schema of ``success`` around that of the data.

        With ``always-200`` it describes errors too, which have no data.
        """
        if self.statuses == "http":
            schema = _envelope("Always false.", "Always empty.")
        else:
            schema = _envelope("Whether the request failed.", "How to fix the request.")
        if data is not None:
            schema["properties"]["data"] = data
            if self.statuses == "http":
                schema["required"].append("data")
        return schema

    def failure_schema(self) -> JsonSchema:
        """Return the JSON Schema of ``failure``."""
        return _envelope("Always true.", "How to fix the request.")

    def code_schema(self) -> JsonSchema:
        """Return the JSON Schema of the codes."""
        return {
            "type": "string",
            "enum": ["ok", *filter(None, (ERROR_CODES[kind].process for kind in ErrorKind))],
            "description": "The kind of answer: `ok` on success, otherwise the kind of error.",
        }


def _envelope(error: str, message: str) -> JsonSchema:
    properties: JsonSchema = {
        "error": {"type": "boolean", "description": error},
        "code": {"$ref": f"{SCHEMAS}Code"},
        "message": {"type": "string", "description": message},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}
