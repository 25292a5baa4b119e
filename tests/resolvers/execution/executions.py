"""Helpers for tests of executions: execute processes, and read what was recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from tests.resolvers.home import Home, arguments

HomeWith = Callable[..., contextlib.AbstractAsyncContextManager[Home]]

RECORD = """{
    databaseId processReference processName status state error nested askedBy
    process { reference } inputs { reference value }
    steps {
        position sourceName action status result error arguments { reference value }
        subprocess { reference }
        subexecution {
            databaseId processReference status error nested parentStep { position }
            steps { status result error subexecution { processReference steps { result } } }
        }
    }
}"""


def trouble(action: str) -> dict[str, Any]:
    return {"source": "trouble", "action": action}


async def with_trouble(home: Home) -> Home:
    await home.do("createSource", source={"name": "trouble", "kind": "trouble"})
    return home


async def execute(home: Home, process: str, by: str = "admin", **values: str) -> dict[str, Any]:
    """Execute a process successfully; returns the record."""
    inputs = arguments(**values)
    executed = await home.do("executeProcess", by=by, id=process, inputs=inputs)
    execution: dict[str, Any] = executed["execution"]
    assert execution["status"] == "SUCCEEDED"
    return execution


async def fails(home: Home, process: str, by: str = "admin") -> tuple[str, dict[str, Any]]:
    """Execute a process that fails; returns the error message and the record."""
    query = "mutation($id: ID!) { executeProcess(id: $id) { execution { id } } }"
    error = await home.graph.error(query, {"id": process}, profile=by)
    assert error["extensions"]["code"] == "EXECUTION_FAILED"
    assert error["path"] == ["executeProcess"]
    execution = await record(home, error["extensions"]["execution"])
    assert execution["status"] == "FAILED"
    assert execution["error"] is not None
    assert execution["error"] in error["message"]
    return error["message"], execution


async def record(home: Home, id_: str, by: str = "admin") -> Any:
    query = f"query($id: ID!) {{ execution(id: $id) {RECORD} }}"
    return (await home.graph.data(query, {"id": id_}, profile=by))["execution"]


def results(execution: dict[str, Any]) -> list[Any]:
    return [step["result"] for step in execution["steps"]]


async def state(home: Home, process: str) -> str:
    value: str = (await home.read(process))["state"]
    return value
