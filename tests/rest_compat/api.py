"""What tests of the dialects share: requests over real HTTP, and the forms of what comes back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from resolvers.errors.catalogue import ErrorKind, GatewayError
from rest_compat.errors import ERROR_CODES, PROCESSES_MESSAGES
from tests.conftest import Gateway, Reply
from tests.reference.rows import TABLES

ENVELOPE = {"error": False, "code": "ok", "message": ""}
NOBODY = 2**31 - 1
"""The id of nothing."""


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
        """Send a request: ``body`` as it is where it is bytes, else as JSON."""
        sent = dict(headers or {})
        if token is not None:
            profile, sent["Authorization"] = None, token
        return await self.gateway.call(method, path, body, profile=profile, headers=sent)

    async def ok(self, method: str, path: str, body: Any = None, **asked: Any) -> Any:
        """The data of a success of the /process dialect; None where there is none."""
        reply = await self.call(method, path, body, **asked)
        assert reply.status == 200, reply.body
        answer = reply.json
        data = answer.pop("data", None)
        assert answer == ENVELOPE
        return data

    async def refused(
        self, kind: ErrorKind, method: str, path: str, body: Any = None, **asked: Any
    ) -> str:
        """The message of an error of the /process dialect, which has to be of this kind."""
        reply = await self.call(method, path, body, **asked)
        answer = reply.json
        message = answer.pop("message")
        assert answer == {"error": True, "code": ERROR_CODES[kind].process}, (answer, message)
        assert reply.status == ERROR_CODES[kind].status
        assert isinstance(message, str)
        assert message
        return message

    async def invalid(self, method: str, path: str, body: Any = None, **asked: Any) -> str:
        """The message of bad input to the /process dialect, which has to change nothing."""
        before = await self.everything()
        message = await self.refused(ErrorKind.BAD_USER_INPUT, method, path, body, **asked)
        assert await self.everything() == before
        return message

    async def missing(self, method: str, path: str, body: Any = None, **asked: Any) -> str:
        """The message where nothing is found by the /process dialect, and nothing changed."""
        before = await self.everything()
        message = await self.refused(ErrorKind.NOT_FOUND, method, path, body, **asked)
        assert await self.everything() == before
        return message

    async def details(
        self, code: int, method: str, path: str, body: Any = None, *, status: int = 0, **asked: Any
    ) -> list[tuple[list[str | int], str]]:
        """What the /processes dialect says is wrong; nothing may have changed by it."""
        before = await self.everything()
        reply = await self.call(method, path, body, **asked)
        assert await self.everything() == before
        expected = {1001: 400, 1005: 404, 1006: 503, 2002: 401, 2004: 401, 3001: 403, 6001: 429}
        assert reply.status == (status or expected[code]), reply.body
        answer = reply.json
        details = answer.pop("details")
        assert answer == {"code": code, "message": PROCESSES_MESSAGES[code]}
        assert details
        assert all(detail.keys() == {"path", "message"} for detail in details)
        return [(detail["path"], detail["message"]) for detail in details]

    async def put(self, path: str, body: Any, **asked: Any) -> None:
        """A PUT of the /processes dialect that has to be done."""
        reply = await self.call("PUT", path, body, **asked)
        assert (reply.status, reply.body) == (200, b"")

    async def everything(self) -> dict[str, Any]:
        """Every row there is; token bookkeeping aside."""
        return {
            table: await self.gateway.run(f"SELECT * FROM {table} AS t ORDER BY t::text")
            for table in TABLES
        }

    # Things to begin with ------------------------------------------------------------------------

    async def process(self, reference: str = "lamp", **members: Any) -> int:
        """Create a process; returns its id."""
        made = {"reference": reference, "name": reference.capitalize(), **members}
        created = await self.ok("POST", "/process", made)
        assert created.keys() == {"id"}
        found: int = created["id"]
        return found

    async def shown(self, process_id: int, **asked: Any) -> dict[str, Any]:
        """A whole process."""
        found: dict[str, Any] = await self.ok("GET", f"/process/{process_id}", **asked)
        return found

    async def espace(self, reference: str, name: str = "", **texts: str) -> int:
        """Create an espace; returns its id."""
        data = await self.gateway.data(
            "mutation($e: NewEspace!) { createEspace(espace: $e) { espace { databaseId } } }",
            {"e": {"reference": reference, "name": name or reference.capitalize(), **texts}},
        )
        found: int = data["createEspace"]["espace"]["databaseId"]
        return found

    async def profile(self, name: str, *permissions: str) -> int:
        """Create a profile that sees only what it is authorised on; returns its id."""
        words = permissions or ("PROCESS_READ", "PROCESS_WRITE", "PROCESS_EXECUTE")
        data = await self.gateway.data(
            "mutation($p: NewProfile!) { createProfile(profile: $p) { profile { databaseId } } }",
            {"p": {"name": name, "permissions": list(words)}},
        )
        found: int = data["createProfile"]["profile"]["databaseId"]
        for _ in range(500):
            if await self._knows(name):
                break
            await asyncio.sleep(0.01)
        return found

    async def _knows(self, profile: str) -> bool:
        """Whether the gateway was told of a new profile; the database notifies it."""
        try:
            await self.gateway.viewer(profile)
        except GatewayError:
            return False
        return True


def say(text: str = "hello", **members: Any) -> dict[str, Any]:
    """An action that answers with a text."""
    return {
        "source": "echo",
        "action": "say",
        "arguments": [{"reference": "text", "value": text}],
        **members,
    }


def run(action: Any, **members: Any) -> dict[str, Any]:
    """An action that runs a process."""
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
"""Bodies that no route takes: what is sent, and what the message has to say."""
