"""What tests of writes share: mutations by name, refusals that change nothing, and test sources."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from graphql import GraphQLObjectType, get_named_type
from pydantic import BaseModel, SecretStr

from resolvers.execution.sources.protocol import ActionFailedError, Call
from resolvers.schema.build import build_schema
from resolvers.values.ids import global_id
from tests.conftest import Graph

NOBODY = 2**31 - 1
"""The id of nothing."""

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
    found = build_schema()._schema.mutation_type
    assert found is not None
    return found


def document(name: str, given: Iterable[str]) -> str:
    """A mutation that takes these of its arguments as variables and selects its whole payload."""
    definition = _mutations().fields[name]
    types = {key: definition.args[key].type for key in given}
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
        """What a mutation that succeeds answers."""
        data = await self.graph.data(document(mutation, arguments), arguments, profile=by)
        answer: dict[str, Any] = data[mutation]
        return answer

    async def refused(
        self, mutation: str, code: str, *, by: str = "admin", **arguments: Any
    ) -> dict[str, Any]:
        """The located error of a mutation that is refused and so changes nothing."""
        before = await self.dump()
        error = await self.graph.error(document(mutation, arguments), arguments, profile=by)
        assert error["extensions"]["code"] == code, error
        assert error["path"] == [mutation]
        assert error["locations"]
        assert await self.dump() == before
        return error

    async def dump(self) -> dict[str, list[str]]:
        """Every row of every table."""
        tables = await self.graph.run(
            "SELECT relname AS name FROM pg_stat_user_tables ORDER BY relname"
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
        """The id of a new process."""
        new = {"reference": reference, "name": f"The {reference}", **fields}
        created: str = (await self.do("createProcess", process=new))["process"]["id"]
        return created

    async def steps(self) -> bool:
        """Whether a step of an execution has begun."""
        return bool(await self.graph.run("SELECT FROM execution_step"))

    async def read(self, process: str, *, by: str = "admin") -> Any:
        """A process as it is now; None where this profile knows of none."""
        query = f"query($id: ID!) {{ process(id: $id) {{ {_SHOWN['process']} }} }}"
        return (await self.graph.data(query, {"id": process}, profile=by))["process"]

    async def profile(self, name: str, *permissions: str) -> str:
        """The id of a new profile, which sees what it is authorised on."""
        new = {"name": name, "permissions": list(permissions)}
        created: str = (await self.do("createProfile", profile=new))["profile"]["id"]
        return created


async def until(found: Callable[[], Awaitable[object]], seconds: float = 5) -> None:
    """Wait until it is true of the database, which tells nobody when that is."""
    async with asyncio.timeout(seconds):
        while not await found():  # noqa: ASYNC110 - no event could tell
            await asyncio.sleep(0.01)


def problems(error: dict[str, Any]) -> dict[tuple[str | int, ...], str]:
    """What an error says of each wrong value, by its path."""
    return {
        tuple(problem["path"]): problem["message"] for problem in error["extensions"]["problems"]
    }


def echo(action: str = "say", **fields: Any) -> dict[str, Any]:
    """An action on the source echo."""
    return {"source": "echo", "action": action, **fields}


def calls(reference: str, **fields: Any) -> dict[str, Any]:
    """An action that runs another process."""
    return {"source": "process", "action": reference, **fields}


def arguments(**values: str) -> list[dict[str, str]]:
    """Arguments, or values of inputs."""
    return [{"reference": reference, "value": value} for reference, value in values.items()]


def nothing(type_name: str) -> str:
    """An id that no object has."""
    return global_id(type_name, NOBODY)


# Sources -----------------------------------------------------------------------------------------


class LampSettings(BaseModel):
    address: str
    brightness: int = 100
    password: SecretStr | None = None


class LampKind:
    """Tells what it was set to, its secret included: whoever runs it may need that."""

    name: ClassVar[str] = "lamp"
    settings: ClassVar[type[BaseModel]] = LampSettings

    async def run(self, call: Call) -> Any:
        assert isinstance(call.settings, LampSettings)
        secret = call.settings.password
        return {
            "at": call.settings.address,
            "knows": len(secret.get_secret_value() if secret else ""),
        }


class Nothing(BaseModel):
    pass


class TroubleKind:
    """Does what its action says: sleeps, fails, breaks, or answers with what is no JSON."""

    name: ClassVar[str] = "trouble"
    settings: ClassVar[type[BaseModel]] = Nothing

    async def run(self, call: Call) -> Any:
        match call.action:
            case "sleep":
                await asyncio.sleep(30)
            case "pause":
                await asyncio.sleep(0.02)
            case "wait":
                await asyncio.sleep(0.5)
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
