"""Write the answers of the /processes dialect: bare data, or an error with a numeric code."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from resolvers.errors.catalogue import ErrorKind, FieldProblem, GatewayError
from rest_compat.body_model import SCHEMAS, JsonSchema
from rest_compat.errors import ERROR_CODES, PROCESSES_MESSAGES
from storage.database.stream import Parts


@dataclass(frozen=True, slots=True)
class ProcessesEnvelope:
    """``{"processes": […]}``, an empty body, or ``{"code": …, "message": …, "details": […]}``."""

    def status(self, kind: ErrorKind) -> int:
        """Return the HTTP status of an error."""
        codes = ERROR_CODES[kind]
        return codes.processes_status or codes.status

    def success(self, data: Parts | None) -> Parts:
        """Return the body of a success around its data, which is JSON in parts."""
        return () if data is None else (b'{"processes":', *data, b"}")

    def failure(self, error: GatewayError) -> bytes:
        """Return the body of an error: its code with the fixed message, and the details."""
        code = ERROR_CODES[error.kind].processes
        assert code is not None
        problems = error.listed or (FieldProblem((), error.message),)
        return orjson.dumps(
            {
                "code": code,
                "message": PROCESSES_MESSAGES[code],
                "details": [
                    {"path": problem.path, "message": problem.message} for problem in problems
                ],
            }
        )

    def success_schema(self, data: JsonSchema | None) -> JsonSchema | None:
        """Return the JSON Schema of ``success`` around that of the data; None for no body."""
        if data is None:
            return None
        return {
            "type": "object",
            "properties": {"processes": data},
            "required": ["processes"],
        }

    def failure_schema(self) -> JsonSchema:
        """Return the JSON Schema of ``failure``."""
        path: JsonSchema = {
            "type": "array",
            # Keys are strings and indices integers. Generators fail on such a union.
            "items": {"description": "A key or an index."},
            "description": "Where the problem is: the keys (strings) and list indices (integers)"
            " that lead to it in the body. Empty for the whole request.",
        }
        detail: JsonSchema = {
            "type": "object",
            "properties": {
                "path": path,
                "message": {"type": "string", "description": "How to fix the problem."},
            },
            "required": ["path", "message"],
        }
        properties: JsonSchema = {
            "code": {"$ref": f"{SCHEMAS}Code"},
            "message": {"type": "string", "description": "The text that belongs to the code."},
            "details": {"type": "array", "items": detail, "minItems": 1},
        }
        return {"type": "object", "properties": properties, "required": list(properties)}

    def code_schema(self) -> JsonSchema:
        """Return the JSON Schema of the codes."""
        texts = "\n".join(f"- {code}: {text}" for code, text in PROCESSES_MESSAGES.items())
        return {
            "type": "integer",
            "enum": list(PROCESSES_MESSAGES),
            "description": f"The kind of error. Each has a fixed message:\n\n{texts}",
        }
