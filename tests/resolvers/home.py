"""Helpers for tests of writes: run mutations by name, check rejections, and define test sources."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from graphql import GraphQLObjectType, get_named_type
from pydantic import BaseModel, SecretStr

from resolvers.execution.sources.protocol import ActionFailedError, Call, Repeat, SourceKind
from resolvers.schema.build import build_schema
from resolvers.values.ids import global_id
from tests.conftest import Graph

UNKNOWN_ID = 2**31 - 1
"""An id that no row has."""

_ACTION = (
    "id position sourceName action runsWhen arguments { reference value } subprocess { reference }"
)
_INPUT = "id position reference name type kind askedWhen"
_SHOWN = {
    "process": "id databaseId reference name nameEnable nameDisable description icon mode state"
    f" espace {{ reference }} profiles {{ name }} actions {{ {_ACTION} }} inputs {{ {_INPUT} }}",
    "action": _ACTION,
    "input": _INPUT,
    "espace": "id databaseId reference name description icon",
    "profile": "id databaseId name permissions seesAll",
    "source": "id databaseId name kind settings secretSettings builtIn",
    "execution": "id databaseId status state error inputs { reference value }"
    " steps { position sourceName action status result error arguments { reference value } }",
}


@cache
def _mutations() -> GraphQLObjectType:
    mutation_type = build_schema()._schema.mutation_type
    assert mutation_type is not None
    return mutation_type


def document(name: str, arguments: Iterable[str]) -> str:
    """Return a mutation with these arguments as variables that selects the complete payload."""
    definition = _mutations().fields[name]
    types = {key: definition.args[key].type for key in arguments}
    payload = get_named_type(definition.type)
    assert isinstance(payload, GraphQLObjectType)
    selected = " ".join(
        f"{field} {{ {_SHOWN[field]} }}" if field in _SHOWN else field for field in payload.fields
    )
    if not types:
        return f"mutation {{ {name} {{ {selected} }} }}"
    declared = ", ".join(f"${key}: {type_}" for key, type_ in types.items())
    passed = ", ".join(f"{key}: ${key}" for key in types)
    return f"mutation({declared}) {{ {name}({passed}) {{ {selected} }} }}"


@dataclass(frozen=True)
class Home:
    """A home that tests change."""

    graph: Graph

    async def do(self, mutation: str, *, by: str = "admin", **arguments: Any) -> dict[str, Any]:
        """Return the payload of a mutation that succeeds."""
        data = await self.graph.data(document(mutation, arguments), arguments, profile=by)
        payload: dict[str, Any] = data[mutation]
        return payload

    async def error(
        self, mutation: str, code: str, *, by: str = "admin", **arguments: Any
    ) -> dict[str, Any]:
        """Return the error of a mutation that is rejected, after checking that nothing changed."""
        before = await self.dump()
        error = await self.graph.error(document(mutation, arguments), arguments, profile=by)
        assert error["extensions"]["code"] == code, error
        assert error["path"] == [mutation]
        assert error["locations"]
        assert await self.dump() == before
        return error

    async def dump(self) -> dict[str, list[str]]:
        """Return every row of every table, but for those that change by themselves."""
        tables = await self.graph.run(
            "SELECT relname AS name FROM pg_stat_user_tables"
            " WHERE relname NOT IN ('change', 'compacted_change', 'worker') ORDER BY relname"
        )
        return {
            table["name"]: [
                row["line"]
                for row in await self.graph.run(
                    f"SELECT {table['name']}::text AS line FROM {table['name']} ORDER BY 1"
                )
            ]
            for table in tables
        }

    async def process(self, reference: str, **fields: Any) -> str:
        """Create a process; returns its id."""
        new = {"reference": reference, "name": f"The {reference}", **fields}
        created: str = (await self.do("createProcess", process=new))["process"]["id"]
        return created

    async def steps(self) -> bool:
        """Return whether a step of an execution has started."""
        return bool(await self.graph.run("SELECT FROM execution_step"))

    async def read(self, process: str, *, by: str = "admin") -> Any:
        """Return a process as it is now; None if this profile does not see it."""
        query = f"query($id: ID!) {{ process(id: $id) {{ {_SHOWN['process']} }} }}"
        return (await self.graph.data(query, {"id": process}, profile=by))["process"]

    async def profile(self, name: str, *permissions: str) -> str:
        """Create a profile that sees the processes it is authorized on; returns its id."""
        new = {"name": name, "permissions": list(permissions)}
        created: str = (await self.do("createProfile", profile=new))["profile"]["id"]
        return created


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 5) -> None:
    """Poll until a condition on the database is true."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the database sends no event
            await asyncio.sleep(0.01)


def problems(error: dict[str, Any]) -> dict[tuple[str | int, ...], str]:
    """Return the message of each problem of an error, by its path."""
    return {
        tuple(problem["path"]): problem["message"] for problem in error["extensions"]["problems"]
    }


def echo(action: str = "say", **fields: Any) -> dict[str, Any]:
    """Return an action on the source echo."""
    return {"source": "echo", "action": action, **fields}


def calls(reference: str, **fields: Any) -> dict[str, Any]:
    """Return an action that runs another process."""
    return {"source": "process", "action": reference, **fields}


def arguments(**values: str) -> list[dict[str, str]]:
    """Return arguments of an action, or values of inputs."""
    return [{"reference": reference, "value": value} for reference, value in values.items()]


def nothing(type_name: str) -> str:
    """Return the global id of an object that does not exist."""
    return global_id(type_name, UNKNOWN_ID)


# Sources -----------------------------------------------------------------------------------------


class LampSettings(BaseModel):
    address: str
    brightness: int = 100
    password: SecretStr | None = None


class LampKind(SourceKind):
    """Answer with its settings and the length of its secret."""

    name: ClassVar[str] = "lamp"
    settings: ClassVar[type[BaseModel]] = LampSettings

    async def act(self, call: Call) -> Any:
        assert isinstance(call.settings, LampSettings)
        secret = call.settings.password
        return {
            "at": call.settings.address,
            "knows": len(secret.get_secret_value() if secret else ""),
        }


class Nothing(BaseModel):
    pass


class TroubleKind(SourceKind):
    """Do what its action says: sleep, fail, break, or answer with something that is not JSON."""

    name: ClassVar[str] = "trouble"
    settings: ClassVar[type[BaseModel]] = Nothing

    async def act(self, call: Call) -> Any:
        match call.action:
            case "sleep":
                await asyncio.sleep(30)
            case "pause":
                await asyncio.sleep(0.02)
            case "wait":
                await asyncio.sleep(0.5)
            case "tarry":
                await asyncio.sleep(2)
            case "refuse":
                raise ActionFailedError("the bulb is busy", repeat=Repeat.ALWAYS, retry_after=60)
            case "fail":
                raise ActionFailedError("the bulb is broken\0\ud800")
            case "break":
                raise RuntimeError("a secret of the source: postgresql://somewhere")
            case "set":
                return {1, 2}
            case "surrogate":
                return {"text": "\ud800"}
            case "nul":
                return {"text": "a\0b"}
        return None
