"""Send requests to both dialects over real HTTP, and check the form of the responses."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from resolvers.errors.catalogue import ErrorKind, GatewayError
from rest_compat.errors import ERROR_CODES, PROCESSES_MESSAGES
from tests.conftest import Gateway, Reply
from tests.reference.rows import TABLES

ENVELOPE = {"error": False, "code": "ok", "message": ""}
UNKNOWN_ID = 2**31 - 1
"""An id that no row has."""


@dataclass(frozen=True)
class Api:
    """Both dialects of a running gateway."""

    gateway: Gateway

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        profile: str | None = "admin",
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send a request. A ``body`` of bytes is sent unchanged, any other as JSON."""
        sent = dict(headers or {})
        if token is not None:
            profile, sent["Authorization"] = None, token
        return await self.gateway.call(method, path, body, profile=profile, headers=sent)

    async def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Call the /process dialect, which must succeed. Return the data, or None."""
        reply = await self.call(method, path, body, **options)
        assert reply.status == 200, reply.body
        answer = reply.json
        data = answer.pop("data", None)
        assert answer == ENVELOPE
        return data

    async def error(
        self, kind: ErrorKind, method: str, path: str, body: Any = None, **options: Any
    ) -> str:
        """Call the /process dialect, which must fail with this error. Return the message."""
        reply = await self.call(method, path, body, **options)
        answer = reply.json
        message = answer.pop("message")
        assert answer == {"error": True, "code": ERROR_CODES[kind].process}, (answer, message)
        assert reply.status == ERROR_CODES[kind].status
        assert isinstance(message, str)
        assert message
        return message

    async def invalid(self, method: str, path: str, body: Any = None, **options: Any) -> str:
        """Return the message of a call that must fail as bad input and change nothing."""
        before = await self.all_rows()
        message = await self.error(ErrorKind.BAD_USER_INPUT, method, path, body, **options)
        assert await self.all_rows() == before
        return message

    async def not_found(self, method: str, path: str, body: Any = None, **options: Any) -> str:
        """Return the message of a call that must fail as not found and change nothing."""
        before = await self.all_rows()
        message = await self.error(ErrorKind.NOT_FOUND, method, path, body, **options)
        assert await self.all_rows() == before
        return message

    async def details(
        self,
        code: int,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int = 0,
        **options: Any,
    ) -> list[tuple[list[str | int], str]]:
        """Call the /processes dialect, which must fail and change nothing. Return the details."""
        before = await self.all_rows()
        reply = await self.call(method, path, body, **options)
        assert await self.all_rows() == before
        expected = {1001: 400, 1005: 404, 1006: 503, 2002: 401, 2004: 401, 3001: 403, 6001: 429}
        assert reply.status == (status or expected[code]), reply.body
        answer = reply.json
        details = answer.pop("details")
        assert answer == {"code": code, "message": PROCESSES_MESSAGES[code]}
        assert details
        assert all(detail.keys() == {"path", "message"} for detail in details)
        return [(detail["path"], detail["message"]) for detail in details]

    async def put(self, path: str, body: Any, **options: Any) -> None:
        """Send a PUT to the /processes dialect, which must succeed."""
        reply = await self.call("PUT", path, body, **options)
        assert (reply.status, reply.body) == (200, b"")

    async def all_rows(self) -> dict[str, Any]:
        """Return every row of the model, by table."""
        return {
            table: await self.gateway.run(f"SELECT * FROM {table} AS t ORDER BY t::text")
            for table in TABLES
        }

    # Test data -----------------------------------------------------------------------------------

    async def process(self, reference: str = "lamp", **members: Any) -> int:
        """Create a process. Return its id."""
        body = {"reference": reference, "name": reference.capitalize(), **members}
        created = await self.ok("POST", "/process", body)
        assert created.keys() == {"id"}
        process_id: int = created["id"]
        return process_id

    async def get_process(self, process_id: int, **options: Any) -> dict[str, Any]:
        """Return a process with all its parts."""
        process: dict[str, Any] = await self.ok("GET", f"/process/{process_id}", **options)
        return process

    async def espace(self, reference: str, name: str = "", **texts: str) -> int:
        """Create an espace. Return its id."""
        data = await self.gateway.data(
            "mutation($e: NewEspace!) { createEspace(espace: $e) { espace { databaseId } } }",
            {"e": {"reference": reference, "name": name or reference.capitalize(), **texts}},
        )
        espace_id: int = data["createEspace"]["espace"]["databaseId"]
        return espace_id

    async def profile(self, name: str, *permissions: str) -> int:
        """Create a profile that sees only the processes it is authorized on. Return its id."""
        granted = permissions or ("PROCESS_READ", "PROCESS_WRITE", "PROCESS_EXECUTE")
        data = await self.gateway.data(
            "mutation($p: NewProfile!) { createProfile(profile: $p) { profile { databaseId } } }",
            {"p": {"name": name, "permissions": list(granted)}},
        )
        profile_id: int = data["createProfile"]["profile"]["databaseId"]
        for _ in range(500):
            if await self._knows(name):
                break
            await asyncio.sleep(0.01)
        return profile_id

    async def _knows(self, profile: str) -> bool:
        """Whether the notification of a new profile has reached the gateway."""
        try:
            await self.gateway.viewer(profile)
        except GatewayError:
            return False
        return True


def say(text: str = "hello", **members: Any) -> dict[str, Any]:
    """Return an action that returns a text."""
    return {
        "source": "echo",
        "action": "say",
        "arguments": [{"reference": "text", "value": text}],
        **members,
    }


def run(action: Any, **members: Any) -> dict[str, Any]:
    """Return an action that runs a process."""
    return {"source": "process", "action": action, **members}


BAD_BODIES = {
    "broken": (b'{"reference": "a",', "ends before it is complete"),
    "no_json": (b"reference=a&name=b", "not valid JSON at line 1, column 1"),
    "not_utf8": (b'{"reference": "\xff", "name": "b"}', "not valid UTF-8"),
    "null": (b"null", "expected an object, got null"),
    "list": (b"[1]", "expected an object, got a list"),
    "text": (b'"a"', 'expected an object, got "a"'),
    "number": (b"7", "expected an object, got 7"),
    "nul": (b'{"reference": "a", "name": "b\\u0000"}', "NUL"),
    "surrogate": (b'{"reference": "a", "name": "\\ud800"}', "surrogate"),
    "duplicate": (b'{"reference": "a", "name": "b", "name": "c"}', 'duplicate key "name"'),
    "deep": (b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper"),
    "digits": (b'{"reference": "a", "name": ' + b"9" * 5000 + b"}", "too large"),
    "long_text": (b'{"reference": "a", "name": "' + b"x" * 256 + b'"}', "at most 255 characters"),
}
"""Bodies that every route rejects, each with a part of the expected message."""
