"""Test when answers are kept, when they are used, and what makes them invalid."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from resolvers.access.viewer import Viewer
from resolvers.operations.kept import Kept, KeptAnswers
from resolvers.operations.reads import Reads
from resolvers.operations.run import GraphQLRequest
from storage.migrations.migrate import migrate
from tests.conftest import Gateway, StartGateway, body_of, running_gateway
from tests.gateway.own_postgres import own_postgres
from tests.resolvers.home import until
from tests.storage.database.conftest import beside, connected
from tests.storage.database.proxy import Link, Proxy, pass_on, proxied

TREE = """{ processes { nodes { name espace { name } profiles { name }
    actions { sourceName subprocess { name } } } } }"""

HOME = """
INSERT INTO espace (id, reference, name) VALUES (1, 'hall', 'Hall');
INSERT INTO source (id, name, kind) VALUES (10, 'lamp', 'echo');
INSERT INTO profile (id, name, permissions) VALUES
    (10, 'keeper', '{process:read}'), (11, 'lodger', '{process:read}');
INSERT INTO process (id, reference, name, espace_id) VALUES
    (1, 'one', 'One', 1), (2, 'two', 'Two', 1);
INSERT INTO action (id, process_id, position, source_id, action, subprocess_id) VALUES
    (1, 1, 1, 10, 'on', NULL), (2, 1, 2, 1, 'two', 2);
INSERT INTO authorisation (process_id, profile_id) VALUES (1, 10);
"""


@pytest.fixture(autouse=True)
async def rows(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(HOME)
    await connection.close()


def reads_of(gateway: Gateway) -> Reads:
    return gateway.services.operations.reads


class Counts:
    """Counts hits and misses of a gateway since the last look."""

    def __init__(self, gateway: Gateway) -> None:
        self._reads = reads_of(gateway)
        self._before = (0, 0)
        self.since()

    def since(self) -> tuple[int, int]:
        """Return the hits and misses since the last call."""
        now = (self._reads.hits, self._reads.misses)
        hits, misses = now[0] - self._before[0], now[1] - self._before[1]
        self._before = now
        return hits, misses


async def keep(gateway: Gateway, query: str = TREE, **options: Any) -> Any:
    """Ask until the answer is kept, and return it."""
    for _ in range(2):
        await gateway.data(query, **options)
    counts = Counts(gateway)
    data = await gateway.data(query, **options)
    assert counts.since() == (1, 0)
    return data


async def test_an_answer_is_kept_at_the_second_request(gateway: Gateway) -> None:
    counts = Counts(gateway)
    seen = []
    for _ in range(4):
        await gateway.data(TREE)
        seen.append(counts.since())
    assert seen == [(0, 1), (0, 1), (1, 0), (1, 0)]
    assert len(reads_of(gateway).kept) == 1


async def ask(gateway: Gateway, viewer: Viewer, query: str = TREE) -> str:
    """Ask for a viewer that is known, which takes no further statement."""
    answer = await gateway.services.operations.answer(GraphQLRequest(query), viewer)
    return body_of(answer).decode()


async def test_a_hit_is_one_small_statement(gateway: Gateway) -> None:
    await keep(gateway)
    viewer = await gateway.viewer("admin")
    before = gateway.database.statements
    connection = await asyncpg.connect(gateway.database.url)
    try:
        async with connection.transaction():
            # Whatever reads the table waits; the log is another one.
            await connection.execute("LOCK TABLE process IN ACCESS EXCLUSIVE MODE")
            async with asyncio.timeout(1):
                await ask(gateway, viewer)
    finally:
        await connection.close()
    assert gateway.database.statements == before + 1


WRITES = {
    "a source": ("UPDATE source SET name = 'bulb' WHERE id = 10", "bulb"),
    "an espace": ("UPDATE espace SET name = 'Foyer'", "Foyer"),
    "a called process": ("UPDATE process SET name = 'Zwei' WHERE id = 2", "Zwei"),
    "a profile": ("UPDATE profile SET name = 'janitor' WHERE id = 10", "janitor"),
}


@pytest.mark.parametrize("renamed", WRITES)
async def test_renaming_what_many_trees_show_changes_them(gateway: Gateway, renamed: str) -> None:
    sql, name = WRITES[renamed]
    assert name not in str(await keep(gateway))
    await gateway.run(sql)
    assert name in str(await gateway.data(TREE))
    assert name in str(await keep(gateway))


async def test_writes_of_another_gateway_are_seen_at_once(
    gateway: Gateway, database_url: str
) -> None:
    async with connected(database_url) as database, running_gateway(database) as other:
        await keep(gateway)
        await keep(other)
        for number in range(5):
            writer, reader = (gateway, other) if number % 2 else (other, gateway)
            await writer.call("PUT", "/processes/1", {"name": f"name {number}"})
            assert f"name {number}" in str(await reader.data(TREE))


async def test_what_a_profile_sees_is_its_own(gateway: Gateway) -> None:
    names = "{ processes { nodes { name } } }"
    of_keeper = await keep(gateway, names, profile="keeper")
    of_lodger = await keep(gateway, names, profile="lodger")
    of_admin = await keep(gateway, names)
    shown = [
        [node["name"] for node in data["processes"]["nodes"]]
        for data in (of_keeper, of_lodger, of_admin)
    ]
    assert shown == [["One"], [], ["One", "Two"]]
    await gateway.run("INSERT INTO authorisation VALUES (2, 11)")
    assert "Two" in str(await gateway.data(names, profile="lodger"))
    assert "Two" not in str(await gateway.data(names, profile="keeper"))
    await gateway.run("DELETE FROM authorisation")
    assert "One" not in str(await gateway.data(names, profile="keeper"))


async def test_a_permission_that_is_lost_is_judged_before_memory(gateway: Gateway) -> None:
    names = "{ processes { nodes { name } } }"
    await keep(gateway, names, profile="keeper")
    tag = (await gateway.call("GET", "/process", profile="keeper")).headers["Etag"]
    await gateway.run("UPDATE profile SET permissions = '{}' WHERE name = 'keeper'")

    async def forbidden() -> bool:
        return "errors" in await gateway.ask(names, profile="keeper")

    await until(forbidden)
    reply = await gateway.call("GET", "/process", profile="keeper", headers={"If-None-Match": tag})
    assert reply.status == 403


async def test_viewers_of_one_scope_share_an_answer(gateway: Gateway) -> None:
    await keep(gateway, "{ espaces { nodes { name } } }", profile="keeper")
    counts = Counts(gateway)
    await gateway.data("{ espaces { nodes { name } } }", profile="lodger")
    assert counts.since() == (1, 0)


async def test_one_process_is_kept_while_others_change(gateway: Gateway) -> None:
    for query in (
        "{ process(databaseId: 1) { name inputs { name } } }",
        '{ process(reference: "one") { name inputs { name } } }',
        '{ node(id: "UHJvY2Vzczox") { ... on Process { name } } }',
    ):
        await keep(gateway, query)
        counts = Counts(gateway)
        await gateway.run("UPDATE process SET name = 'Zwei' WHERE id = 2")
        await gateway.data(query)
        assert counts.since() == (1, 0)
        await gateway.run("UPDATE process SET name = name || '!' WHERE id = 1")
        assert "!" in str(await gateway.data(query))


async def test_a_reference_leads_to_another_process(gateway: Gateway) -> None:
    query = '{ process(reference: "one") { databaseId } }'
    assert await keep(gateway, query) == {"process": {"databaseId": 1}}
    await gateway.run("UPDATE process SET reference = 'three' WHERE id = 1")
    assert await keep(gateway, query) == {"process": None}
    await gateway.run("INSERT INTO process (id, reference, name) VALUES (65, 'one', 'One')")
    assert await gateway.data(query) == {"process": {"databaseId": 65}}


async def test_root_fields_are_validated_together(gateway: Gateway) -> None:
    query = "{ a: espaces { nodes { name } } b: processes { nodes { name } } c: __typename }"
    viewer = await gateway.viewer("admin")
    for _ in range(2):
        await gateway.data(query)
    counts, before = Counts(gateway), gateway.database.statements
    await ask(gateway, viewer, query)
    assert (counts.since(), gateway.database.statements - before) == ((2, 0), 1)
    await gateway.run("UPDATE espace SET name = 'Foyer'")
    data = await gateway.data(query)
    assert counts.since() == (1, 1)
    assert data["a"]["nodes"] == [{"name": "Foyer"}]


async def change(gateway: Gateway, times: int) -> str:
    """Change what is shown, and read it, so many times. Return what is shown last."""
    await keep(gateway)
    for number in range(times):
        await gateway.run(f"UPDATE espace SET name = 'Hall {number}'")
        assert f"Hall {number}" in str(await gateway.data(TREE))
    return f"Hall {times - 1}"


@pytest.mark.parametrize("changes", [0, 1, 2, 3, 4])
async def test_an_answer_that_often_changes_is_asked_for_and_validated_at_once(
    gateway: Gateway, changes: int
) -> None:
    await change(gateway, changes)
    viewer = await gateway.viewer("admin")
    counts = Counts(gateway)
    statements = []
    for name in ("Foyer", "Foyer", "Foyer", "Lobby"):
        await gateway.run(f"UPDATE espace SET name = '{name}' WHERE name <> '{name}'")
        before = gateway.database.statements
        assert name in await ask(gateway, viewer)
        statements.append((gateway.database.statements - before, *counts.since()))
    # Statements, hits and misses. It is found unchanged by one statement in either way.
    first = 1 if changes >= 2 else 2
    assert statements == [(first, 0, 1), (1, 1, 0), (1, 1, 0), (2, 0, 1)]


async def test_an_answer_that_often_changes_is_shared(gateway: Gateway) -> None:
    name = await change(gateway, 3)
    viewer = await gateway.viewer("admin")
    for written in (name, "Foyer"):
        await gateway.run(f"UPDATE espace SET name = '{written}' WHERE name <> '{written}'")
        before, counts = gateway.database.statements, Counts(gateway)
        answers = await asyncio.gather(*(ask(gateway, viewer) for _ in range(50)))
        assert all(written in answer for answer in answers)
        assert gateway.database.statements - before < 4
        assert counts.since() == ((50, 0) if written == name else (0, 50))


async def test_an_answer_that_often_changes_can_become_null(gateway: Gateway) -> None:
    query = '{ process(reference: "two") { name } }'
    await keep(gateway, query)
    for name in ("a", "b", "c"):
        await gateway.run(f"UPDATE process SET name = '{name}' WHERE reference = 'two'")
        assert await gateway.data(query) == {"process": {"name": name}}
    await gateway.run("UPDATE process SET reference = 'gone' WHERE reference = 'two'")
    counts = Counts(gateway)
    for _ in range(3):
        assert await gateway.data(query) == {"process": None}
    assert counts.since() == (2, 1)
    await gateway.run("UPDATE process SET reference = 'two' WHERE reference = 'gone'")
    assert await gateway.data(query) == {"process": {"name": "c"}}


# Sharing -----------------------------------------------------------------------------------------


async def test_requests_at_the_same_time_share_statements(gateway: Gateway) -> None:
    await keep(gateway)
    viewer = await gateway.viewer("admin")
    before = gateway.database.statements
    await asyncio.gather(*(ask(gateway, viewer) for _ in range(50)))
    assert gateway.database.statements - before < 5
    await gateway.run("UPDATE espace SET name = 'Foyer'")
    before = gateway.database.statements
    answers = await asyncio.gather(*(ask(gateway, viewer) for _ in range(50)))
    assert all("Foyer" in answer for answer in answers)
    assert gateway.database.statements - before < 8


class Hold:
    """Holds up the answer to the next statement with a text, as a slow network would."""

    def __init__(self, proxy: Proxy, text: bytes) -> None:
        self._text = text
        self._armed: Link | None = None
        self._held: Link | None = None
        self._answers = bytearray()
        self.holds = asyncio.Event()
        """Set once PostgreSQL has answered."""
        proxy.requests, proxy.answers = self._request, self._answer
        self._proxy = proxy

    def _request(self, link: Link, data: bytes) -> bytes:
        if self._armed is None and self._text in data:
            self._armed = link  # it is prepared, and then run
        elif self._held is None and link is self._armed:
            self._held = link
        return data

    def _answer(self, link: Link, data: bytes) -> bytes:
        if link is not self._held:
            return data
        self._answers += data
        self.holds.set()
        return b""

    def release(self) -> None:
        """Pass on the answer, and everything from now on."""
        assert self._held is not None
        self._held.client.write(self._answers)
        self._proxy.requests = self._proxy.answers = pass_on


@pytest.mark.parametrize("held", [b"GROUP BY domain", b"convert_to("])
async def test_a_request_does_not_share_what_has_started(database_url: str, held: bytes) -> None:
    """A statement has read what was before, and its answer is late. Another request comes."""
    query = "{ espaces { nodes { name } } }"
    # Every statement is prepared anew, so that its text can be seen.
    options: dict[str, Any] = {"pool_max": 8, "statement_cache_bytes": 0}
    async with contextlib.AsyncExitStack() as stack:
        proxy, url = await stack.enter_async_context(proxied(database_url))
        database = await stack.enter_async_context(connected(url, **options))
        gateway = await stack.enter_async_context(running_gateway(database))
        other = await stack.enter_async_context(beside(database_url))
        await keep(gateway, query)
        if held == b"convert_to(":
            await other.run("UPDATE espace SET name = 'Corridor'")  # so that it is read again
        hold = Hold(proxy, held)
        first = asyncio.create_task(gateway.data(query))
        await hold.holds.wait()
        await other.run("UPDATE espace SET name = 'Foyer'")
        second = asyncio.create_task(gateway.data(query))
        await asyncio.sleep(0.2)
        assert not first.done()
        hold.release()
        assert "Foyer" not in str(await first)
        assert "Foyer" in str(await second)


async def test_a_client_that_leaves_takes_nobody_with_it(gateway: Gateway) -> None:
    await keep(gateway)
    for leaves in range(1, 4):
        await gateway.run(f"UPDATE espace SET name = 'Hall {leaves}'")
        requests = [asyncio.create_task(gateway.data(TREE)) for _ in range(6)]
        await asyncio.sleep(0.001 * leaves)
        for request in requests[:leaves]:
            request.cancel()
        for answer in await asyncio.gather(*requests[leaves:]):
            assert f"Hall {leaves}" in str(answer)


# Failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["stopped", "frozen"])
async def test_nothing_is_sent_from_memory_while_the_database_fails(
    tmp_path: Path, failure: str
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(own_postgres(tmp_path))
        options: dict[str, Any] = {"pool_timeout": 0.5, "statement_timeout": 1}
        database = await stack.enter_async_context(connected(server.url, **options))
        await migrate(database)
        gateway = await stack.enter_async_context(running_gateway(database))
        for _ in range(3):
            tag = (await gateway.call("GET", "/process")).headers["Etag"]
            await gateway.data(TREE)
        assert len(reads_of(gateway).kept) == 2
        headers = {"Authorization": await gateway.token()}
        if failure == "stopped":
            server.stop()
        else:
            stack.enter_context(server.frozen())
        for more in ({}, {"If-None-Match": tag}):
            reply = await gateway.call("GET", "/process", profile=None, headers=headers | more)
            assert reply.status == 503
            assert "Etag" not in reply.headers
        body = {"query": TREE}
        reply = await gateway.call("POST", "/graphql", body, profile=None, headers=headers)
        (error,) = reply.json["errors"]
        assert error["extensions"]["code"] == "DATABASE_UNAVAILABLE"


async def test_a_restart_of_the_server_drops_everything(tmp_path: Path) -> None:
    with own_postgres(tmp_path) as server:
        async with connected(server.url) as database:
            await migrate(database)
            async with running_gateway(database) as gateway:
                await keep(gateway)
                changes = database.server_changes
                server.stop()
                server.start()
                counts = Counts(gateway)
                await until(partial(_answers, gateway))
                assert database.server_changes == changes + 1
                assert counts.since()[0] == 0
                await keep(gateway)


async def _answers(gateway: Gateway) -> bool:
    return "errors" not in await gateway.ask(TREE)


async def test_an_earlier_state_of_the_database_has_its_earlier_answers(
    postgres: str, database_url: str
) -> None:
    """A backup is restored under the feet of the gateway, and other changes follow than before."""
    name = database_url.partition("?")[0].rpartition("/")[2]
    server = await asyncpg.connect(postgres)

    async def copy(source: str, target: str) -> None:
        for database in (source, target):
            await server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                database,
            )
        await server.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
        await server.execute(f"CREATE DATABASE {target} TEMPLATE {source}")

    try:
        await copy(name, f"{name}_backup")
        async with connected(database_url) as database, running_gateway(database) as gateway:
            assert "Hall" in str(await keep(gateway))
            tags = {}
            for future in ("Foyer", "Attic"):
                for renamed in (future, future):
                    await gateway.run("UPDATE espace SET name = $1 WHERE id = 1", renamed)
                assert future in str(await keep(gateway))
                reply = await gateway.call("GET", "/espaces")
                tags[future] = reply.headers["Etag"]
                await gateway.run(f"SELECT pg_advisory_lock({len(tags)})")
                await copy(f"{name}_backup", name)
                assert "Hall" in str(await gateway.data(TREE))
            assert len(set(tags.values())) == 2
            for tag in tags.values():
                reply = await gateway.call("GET", "/espaces", headers={"If-None-Match": tag})
                assert reply.status == 200
    finally:
        await server.execute(f"DROP DATABASE IF EXISTS {name}_backup")
        await server.close()


async def test_an_audit_finds_what_was_written_without_triggers(
    start_gateway: StartGateway, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        start_gateway(kept_answers_audit=3) as gateway,
        start_gateway(kept_answers_audit=0) as other,
        beside(database_url) as writer,
    ):
        await keep(gateway)
        for _ in range(6):
            assert "Hall" in str(await gateway.data(TREE))
        assert reads_of(gateway).audits >= 2
        assert reads_of(gateway).mismatches == 0
        await keep(other)
        await writer.run(
            "WITH off AS (SELECT set_config('session_replication_role', 'replica', false))"
            " UPDATE espace SET name = 'Foyer' FROM off"
        )
        with caplog.at_level(logging.ERROR):
            answers = [str(await gateway.data(TREE)) for _ in range(3)]
        assert "Foyer" in answers[-1]
        assert reads_of(gateway).mismatches == 1
        assert "differs from the database" in caplog.text

        async def other_knows() -> bool:
            return "Foyer" in str(await other.data(TREE))

        await until(other_knows)


async def test_the_metrics_count_answers(gateway: Gateway) -> None:
    await keep(gateway)
    text = (await gateway.call("GET", "/metrics")).body.decode()
    lines = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("gateway_answers")
    )
    assert float(lines["gateway_answers_hits_total"]) == 1
    assert float(lines["gateway_answers_misses_total"]) == 2
    assert float(lines["gateway_answers_kept"]) == 1
    assert float(lines["gateway_answers_bytes"]) > 1000
    assert float(lines["gateway_answers_audits_total"]) == 0
    assert float(lines["gateway_answers_mismatches_total"]) == 0


# Memory ------------------------------------------------------------------------------------------


async def test_nothing_is_kept_if_that_is_switched_off(start_gateway: StartGateway) -> None:
    async with start_gateway(kept_answers_bytes=0) as gateway:
        for _ in range(4):
            reply = await gateway.call("GET", "/process")
        assert (len(reads_of(gateway).kept), reads_of(gateway).hits) == (0, 0)
        headers = {"If-None-Match": reply.headers["Etag"]}
        assert (await gateway.call("GET", "/process", headers=headers)).status == 304


def kept(number: int, size: int) -> Kept:
    return Kept((b"statement", (number,)), (b"x" * size,), 1, "tag", 0, size)


def test_the_memory_is_bounded() -> None:
    answers = KeptAnswers(1000)
    for number in range(20):
        answers.add(kept(number, 100))
        answers.get((b"statement", (0,)))  # the first one is used all the time
        assert answers.bytes <= 1000
    assert len(answers) == 10
    assert answers.get((b"statement", (0,)))
    assert answers.get((b"statement", (1,))) is None
    answers.add(kept(0, 600))  # too large
    assert answers.get((b"statement", (0,))) is None
    assert answers.bytes == 900
    answers.clear()
    assert (answers.bytes, len(answers)) == (0, 0)


def test_other_forms_count_as_memory() -> None:
    answers = KeptAnswers(1000)
    first, second = kept(1, 400), kept(2, 400)
    answers.add(first)
    answers.add(second)
    answers.add_form(second, "gzip", b"y" * 100)
    answers.add_form(second, "gzip", b"y" * 100)
    assert (answers.bytes, second.forms) == (900, {"gzip": b"y" * 100})
    answers.add_form(second, "br", b"y" * 200)
    assert (answers.bytes, len(answers)) == (700, 1)
    answers.add_form(first, "br", b"y")  # it was dropped meanwhile
    assert (answers.bytes, first.forms) == (700, {})


def test_keys_are_remembered_for_a_while() -> None:
    answers = KeptAnswers(1000)
    assert [answers.asked_again((b"s", (1,))) for _ in range(3)] == [False, True, True]
    for number in range(2, 15_000):
        answers.asked_again((b"s", (number,)))
    assert answers.asked_again((b"s", (1,)))
    for number in range(15_000, 45_000):
        answers.asked_again((b"s", (number,)))
    assert not answers.asked_again((b"s", (1,)))
