"""Test that a write whose connection is cut tells the truth about what it has written.

The connection is cut at each message of each mutation: before PostgreSQL has it, and before its
answer arrives. Either the error says that the outcome is unknown, or nothing was written.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg
import pytest

from resolvers.access.viewer import Viewer
from resolvers.operations.run import GraphQLRequest
from resolvers.schema.build import build_schema
from resolvers.values.ids import global_id, read_id_of
from storage.database.database import Database
from storage.migrations.migrate import migrate
from tests.conftest import Gateway, Reply, body_of, running_gateway
from tests.cutting_proxy import Cut, CuttingProxy, cutting_proxy
from tests.gateway.own_postgres import Postgres, own_postgres
from tests.resolvers.home import Home, arguments, document, echo

LAMP, SPARE = global_id("Process", 1), global_id("Process", 2)
KID = global_id("Profile", 4)
ESPACE, EMPTY_ESPACE = global_id("Espace", 1), global_id("Espace", 2)
SIREN = global_id("Source", 3)

MUTATIONS: dict[str, dict[str, Any]] = {
    "createProcess": {
        "process": {
            "reference": "hall",
            "name": "Hall",
            "espace": {"id": ESPACE},
            "profiles": [{"id": KID}],
            "actions": [echo(), {"source": "process", "action": "lamp"}],
            "inputs": [{"name": "n"}],
        }
    },
    "updateProcess": {"id": LAMP, "changes": {"reference": "lantern", "name": "Lantern"}},
    "updateProcesses": {
        "changes": [{"databaseId": 1, "name": "L"}, {"databaseId": 2, "name": "S"}]
    },
    "deleteProcess": {"id": SPARE},
    "addAction": {
        "process": LAMP,
        "action": {"source": "process", "action": "spare"},
        "position": 1,
    },
    "updateAction": {"id": global_id("Action", 1), "changes": {"action": "shout"}},
    "moveAction": {"id": global_id("Action", 1), "position": 2},
    "removeAction": {"id": global_id("Action", 1)},
    "addInput": {"process": LAMP, "input": {"name": "new"}, "position": 1},
    "updateInput": {"id": global_id("Input", 1), "changes": {"name": "B"}},
    "moveInput": {"id": global_id("Input", 1), "position": 2},
    "removeInput": {"ofProcess": LAMP, "reference": "a"},
    "authoriseProfile": {"process": SPARE, "profile": {"id": KID}},
    "unauthoriseProfile": {"process": LAMP, "profile": {"id": KID}},
    "createEspace": {"espace": {"reference": "attic", "name": "Attic"}},
    "updateEspace": {"id": ESPACE, "changes": {"name": "Cellar"}},
    "deleteEspace": {"id": EMPTY_ESPACE},
    "createProfile": {"profile": {"name": "cleaner"}},
    "updateProfile": {"id": KID, "changes": {"name": "child"}},
    "deleteProfile": {"id": KID},
    "createSource": {"source": {"name": "bell", "kind": "echo"}},
    "updateSource": {"id": SIREN, "changes": {"name": "horn"}},
    "deleteSource": {"id": SIREN},
    "executeProcess": {"id": LAMP, "inputs": arguments(a="1", b="2")},
}
"""Arguments with which each mutation writes, in the home that ``_furnish`` creates."""


async def _furnish(home: Home) -> None:
    for reference in ("cellar", "void"):
        await home.do("createEspace", espace={"reference": reference, "name": reference})
    kid = await home.profile("kid")
    process = await home.process(
        "lamp",
        mode="SWITCH",
        state="ENABLED",
        espace={"id": ESPACE},
        profiles=[{"id": kid}],
        actions=[echo("say", arguments=arguments(text="{a}")), echo("stay")],
        inputs=[{"name": "a"}, {"name": "b"}],
    )
    assert (process, kid) == (LAMP, KID)
    assert await home.process("spare") == SPARE
    await home.do("createSource", source={"name": "siren", "kind": "echo"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with own_postgres(tmp_path_factory.mktemp("cut")) as started:
        yield started


class Rows:
    """All rows of a database, read and restored beside the proxy."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], tables: list[str]) -> None:
        self._connection = connection
        self._tables = tables

    async def read(self) -> dict[str, str]:
        return {
            table: await self._connection.fetchval(
                f"SELECT coalesce(json_agg(t ORDER BY t::text), '[]')::text FROM {table} AS t"
            )
            for table in self._tables
        }

    async def restore(self, rows: dict[str, str]) -> None:
        async with self._connection.transaction():
            await self._connection.execute("SET LOCAL session_replication_role = replica")
            await self._connection.execute(f"TRUNCATE {', '.join(self._tables)}")
            for table, written in rows.items():
                await self._connection.execute(
                    f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, $1)",
                    written,
                )


@dataclass(frozen=True)
class Cuttable:
    """A gateway whose connections to PostgreSQL can be cut."""

    gateway: Gateway
    proxy: CuttingProxy
    rows: Rows
    viewer: Viewer

    async def run(self, mutation: str) -> dict[str, Any]:
        """Run a mutation, and return the response."""
        values = MUTATIONS[mutation]
        request = GraphQLRequest(document(mutation, values), None, values)
        answer = await self.gateway.services.operations.answer(request, self.viewer)
        response: dict[str, Any] = json.loads(body_of(answer))
        return response


@pytest.fixture(scope="module")
async def cuttable(server: Postgres) -> AsyncIterator[Cuttable]:
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    async with contextlib.AsyncExitStack() as stack:
        proxy, proxy_port = await stack.enter_async_context(cutting_proxy(port))
        url = server.url.replace(f":{port}/", f":{proxy_port}/")
        database = await Database.connect(f"{url}?sslmode=disable", pool_max=2)
        stack.push_async_callback(database.close)
        await migrate(database)
        gateway = await stack.enter_async_context(running_gateway(database))
        await _furnish(Home(gateway))
        beside = await asyncpg.connect(server.url)
        stack.push_async_callback(beside.close)
        tables = await beside.fetch(
            # Leases are renewed all the time.
            "SELECT relname FROM pg_stat_user_tables WHERE relname <> 'worker' ORDER BY relname"
        )
        rows = Rows(beside, [table["relname"] for table in tables])
        yield Cuttable(gateway, proxy, rows, await gateway.viewer("admin"))


OF_THE_ENGINE = {"cancelExecution", "replayExecution", "testSource"}
"""Mutations that write nothing, or nothing but what the engine writes."""


def test_every_mutation_is_cut() -> None:
    schema = build_schema()._schema
    assert schema.mutation_type is not None
    assert set(MUTATIONS) | OF_THE_ENGINE == set(schema.mutation_type.fields)


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_an_error_means_that_nothing_was_written_or_says_that_it_is_unknown(
    cuttable: Cuttable, mutation: str
) -> None:
    before = await cuttable.rows.read()
    outcomes: dict[Cut, list[str]] = {cut: [] for cut in Cut}
    for cut in Cut:
        number = 1
        while True:
            cuttable.proxy.arm(lambda n, _: cut if n == number else None)  # noqa: B023 - used now
            response = await cuttable.run(mutation)
            cuttable.proxy.disarm()
            after = await cuttable.rows.read()
            if "errors" in response:
                (error,) = response["errors"]
                assert error["extensions"]["code"] == "DATABASE_UNAVAILABLE"
                outcomes[cut].append(_outcome(error, before, after))
            else:  # not cut, or BEGIN was sent once more on another connection
                assert after != before
                outcomes[cut].append("written")
            if after != before:
                await cuttable.rows.restore(before)
            if not cuttable.proxy.cuts:
                assert outcomes[cut].pop() == "written"
                break
            number += 1
    for cut, seen in outcomes.items():
        # BEGIN, at least one statement that writes, and COMMIT. A new connection needs more
        # messages than one that was used before, so their order is not always the same.
        assert len(seen) >= 3
        unknown = "unknown, written" if cut is Cut.UNANSWERED else "unknown, not written"
        # An execution that was admitted goes on whatever is cut, and its answer is "written".
        assert set(seen) - {"written", unknown} == {"not written"}


@pytest.mark.parametrize("mutation", sorted(MUTATIONS.keys() - {"executeProcess"}))
async def test_a_commit_without_an_answer_has_an_unknown_outcome(
    cuttable: Cuttable, mutation: str
) -> None:
    before = await cuttable.rows.read()
    for cut in Cut:
        cuttable.proxy.arm(lambda _, message: cut if b"COMMIT" in message else None)  # noqa: B023
        (error,) = (await cuttable.run(mutation))["errors"]
        assert error["extensions"]["outcome"] == "UNKNOWN"
        unknown = "unknown, written" if cut is Cut.UNANSWERED else "unknown, not written"
        assert _outcome(error, before, await cuttable.rows.read()) == unknown
        await cuttable.rows.restore(before)


def _outcome(error: dict[str, Any], before: dict[str, str], after: dict[str, str]) -> str:
    """Return what an error says, after checking that it is true."""
    extensions = error["extensions"]
    if "execution" in extensions:
        assert "check what it did before you repeat it" in error["message"]
        execution = read_id_of(extensions["execution"], "Execution")
        assert execution in [row["id"] for row in json.loads(after["execution"])]
        return "executed"
    if extensions.get("outcome") == "UNKNOWN":
        assert "may or may not have been saved" in error["message"]
        return "unknown, not written" if after == before else "unknown, written"
    assert "outcome" not in extensions
    assert after == before, error
    return "not written"


# The dialects ------------------------------------------------------------------------------------

_WORDS = (
    "the database did not confirm the write; it may or may not have been saved: read before you"
    " repeat it"
)
_CREATION = {"reference": "hall", "name": "Hall", "sources": [{"source": "echo", "action": "say"}]}
_WRITES: dict[tuple[str, str], Any] = {
    ("POST", "/process"): _CREATION,
    ("DELETE", "/process/2"): None,
    ("POST", "/process/1/actions"): {"source": "echo", "action": "say"},
    ("DELETE", "/process/1/inputs/a"): None,
    ("PUT", "/processes"): {"processes": [{"id": 1, "name": "L"}, {"id": 2, "comment": "S"}]},
    ("PUT", "/processes/1"): {"name": "L"},
}


async def _cut_write(
    cuttable: Cuttable, token: str, method: str, path: str, arm: Callable[[], None]
) -> Reply:
    """Send a write whose connection is cut once, and return its answer.

    Args:
        arm: Arms the proxy. What it cuts may be a read that the gateway sends for itself in the
            same moment, such as that of profiles, and then the write succeeds and is repeated.
    """
    before = await cuttable.rows.read()
    headers = {"Authorization": token}
    for _ in range(5):
        arm()
        reply = await cuttable.gateway.call(
            method, path, _WRITES[method, path], profile=None, headers=headers
        )
        assert cuttable.proxy.cuts == 1
        if reply.status != 200:
            break
        await cuttable.rows.restore(before)
    assert reply.status == 503
    return reply


@pytest.mark.parametrize(("method", "path"), _WRITES)
async def test_a_dialect_says_in_words_that_the_outcome_is_unknown(
    cuttable: Cuttable, method: str, path: str
) -> None:
    before = await cuttable.rows.read()
    token = await cuttable.gateway.token()
    for cut in Cut:

        def at_commit(_: int, message: bytes, cut: Cut = cut) -> Cut | None:
            return cut if b"COMMIT" in message else None

        reply = await _cut_write(
            cuttable, token, method, path, partial(cuttable.proxy.arm, at_commit)
        )
        if path.startswith("/processes"):
            assert reply.json == {
                "code": 1006,
                "message": "Error access to database",
                "details": [{"path": [], "message": _WORDS}],
            }
        else:
            assert reply.json == {"error": True, "code": "unavailable", "message": _WORDS}
        assert (await cuttable.rows.read() != before) is (cut is Cut.UNANSWERED)
        await cuttable.rows.restore(before)


@pytest.mark.parametrize(("method", "path"), _WRITES)
async def test_a_dialect_says_nothing_of_an_outcome_if_nothing_was_written(
    cuttable: Cuttable, method: str, path: str
) -> None:
    before = await cuttable.rows.read()
    token = await cuttable.gateway.token()
    for cut in Cut:

        def arm(cut: Cut = cut) -> None:
            begun = False

            def decide(_: int, message: bytes) -> Cut | None:
                """Cut at the first statement of the transaction, whichever it is."""
                nonlocal begun
                begun, before_this = begun or b"BEGIN" in message, begun
                return cut if before_this else None

            cuttable.proxy.arm(decide)

        reply = await _cut_write(cuttable, token, method, path, arm)
        assert _WORDS not in reply.body.decode()
        assert b"try again later" in reply.body
        assert await cuttable.rows.read() == before


async def test_a_dialect_says_that_a_process_was_executed_if_its_record_cannot_be_read(
    cuttable: Cuttable,
) -> None:
    before = await cuttable.rows.read()
    headers = {"Authorization": await cuttable.gateway.token()}

    async def execute() -> Reply:
        body = {"inputs": {"a": "1", "b": "2"}}
        path = "/process/1/execute"
        return await cuttable.gateway.call("POST", path, body, profile=None, headers=headers)

    has_ended = False

    def decide(_: int, message: bytes) -> Cut | None:
        """Cut all that follows the last transition, which ends a step and the execution."""
        nonlocal has_ended
        if has_ended:
            return Cut.UNSENT
        has_ended = message.count(b"succeeded") == 2 and b"nested_result" not in message
        return None

    cuttable.proxy.arm(decide, again=True)
    reply = await execute()
    cuttable.proxy.disarm()
    assert reply.status == 503
    assert reply.json["code"] == "unavailable"
    assert "the process was executed" in reply.json["message"]
    assert await cuttable.rows.read() != before
    await cuttable.rows.restore(before)
