"""Build the responses of the /processes dialect: plain on success, a numeric code on failure."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from resolvers.errors.catalogue import ErrorKind, FieldProblem, GatewayError, listed
from rest_compat.body_model import JsonSchema
from rest_compat.errors import ERROR_CODES, PROCESSES_MESSAGES


@dataclass(frozen=True, slots=True)
class ProcessesEnvelope:
    """``{"processes": […]}``, an empty body, or ``{"code": …, "message": …, "details": […]}``."""

    def status(self, kind: ErrorKind) -> int:
        """Return the HTTP status of an error."""
        codes = ERROR_CODES[kind]
        return codes.processes_status or codes.status

    def success(self, data: tuple[bytes, ...] | None) -> tuple[bytes, ...]:
        """Return the body of a success, in parts. ``data`` is JSON in parts."""
        return () if data is None else (b'{"processes":', *data, b"}")

    def failure(self, error: GatewayError) -> bytes:
        """Return the body of an error: its code, the code's fixed message, and its problems."""
        code = ERROR_CODES[error.kind].processes
        problems = error.problems or (FieldProblem((), error.message),)
        return orjson.dumps(
            {
                "code": code,
                "message": PROCESSES_MESSAGES[code],
                "details": [
                    {"path": problem.path, "message": problem.message}
                    for problem in listed(problems)
                ],
            }
        )

    def success_schema(self, data: JsonSchema | None) -> JsonSchema | None:
        """Return the JSON Schema of ``success``, which includes the schema of the data."""
        if data is None:
            return None
        return {
            "type": "object",
            "properties": {"processes": data},
            "required": ["processes"],
            "additionalProperties": False,
        }

    def failure_schema(self) -> JsonSchema:
        """Return the JSON Schema of ``failure``."""
        detail: JsonSchema = {
            "type": "object",
            "properties": {
                "path": {
                    "type": "array",
                    "items": {"type": ["string", "integer"]},
                    "description": "Keys and indices in the body. Empty for the whole body.",
                },
                "message": {"type": "string", "description": "What to correct."},
            },
            "required": ["path", "message"],
            "additionalProperties": False,
        }
        properties: JsonSchema = {
            "code": {"enum": list(PROCESSES_MESSAGES)},
            "message": {"enum": list(PROCESSES_MESSAGES.values())},
            "details": {"type": "array", "items": detail, "minItems": 1},
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
