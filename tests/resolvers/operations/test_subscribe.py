"""Test subscriptions in the pipeline: what is read again when, and that answers are as queries'."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from resolvers.operations.live import Subscription
from resolvers.operations.run import GraphQLRequest
from storage.reads.dependencies import SHARDS
from tests.conftest import Graph, KnownCaller, body_of
from tests.reference.rows import insert
from tests.resolvers.home import Home, arguments, echo, until
from tests.resolvers.operations.records import DEEP, NESTED, OTHER, ROOT
from tests.resolvers.operations.records import TREE as RECORDS

TREE = "{ reference name state actions { action subprocess { reference name } } }"


EXPENSIVE = """($x: String!) {
    processes(where: {not: {description: {contains: $x}}}, first: 1) { totalCount nodes { name } }
}"""


async def fill(graph: Graph) -> None:
    """Add processes that take a while to search."""
    await graph.run(
        "INSERT INTO process (reference, name, description)"
        " SELECT 'p' || n, 'x', repeat('x', 4000) FROM generate_series(1, 2000) AS n"
    )


class Follower:
    """One subscription, and the answers that were taken."""

    def __init__(self, graph: Graph, subscription: Subscription, changed: asyncio.Event) -> None:
        self._graph = graph
        self._subscription = subscription
        self._changed = changed

    async def next(self) -> Any:
        """Return the data of the next answer."""
        while True:
            async with asyncio.timeout(10):
                await self._changed.wait()
            self._changed.clear()
            answer = self._subscription.take()
            if answer is not None:
                parsed = json.loads(answer)
                assert "errors" not in parsed, parsed
                return parsed["data"]

    @property
    def newest(self) -> bytes | None:
        return self._subscription._newest

    async def is_silent(self) -> bool:
        """Whether no answer comes within a few ticks."""
        watcher = self._graph.services.subscriptions.watcher
        ticks = watcher.ticks

        async def ticked() -> bool:
            return watcher.ticks > ticks + 3

        await until(ticked)
        return not self._changed.is_set()


@contextlib.asynccontextmanager
async def following(
    graph: Graph, query: str, profile: str = "admin", **variables: Any
) -> AsyncIterator[Follower]:
    viewer = await graph.viewer(profile)
    changed = asyncio.Event()
    prepared = await graph.services.operations.prepare(
        GraphQLRequest(f"subscription {query}", variables=variables)
    )
    caller = KnownCaller(graph.services, viewer.profile_id)
    started = await graph.services.subscriptions.subscribe(
        prepared, caller, lambda _: changed.set()
    )
    assert isinstance(started, Subscription), body_of(started)
    try:
        yield Follower(graph, started, changed)
    finally:
        started.close()


async def reads_of(graph: Graph, write: str) -> int:
    """Return how many answers are read again after a write."""
    subscriptions = graph.services.subscriptions
    before, ticks = subscriptions.reads, subscriptions.watcher.ticks
    await graph.run(write)

    async def ticked() -> bool:
        return subscriptions.watcher.ticks > ticks + 2 and not subscriptions._readers

    await until(ticked)
    return subscriptions.reads - before


async def test_the_steps_of_an_execution_are_seen_as_they_grow(graph: Graph) -> None:
    home = Home(graph)
    actions = [echo("a"), {"source": "process", "action": "inner"}, echo("b")]
    await home.process("inner", actions=[echo("c")])
    hall = await home.process("hall", actions=actions)
    steps = "{ status steps { action status subexecution { status } } }"
    query = f"{{ process(id: $id) {{ executions {{ nodes {steps} }} }} }}"
    async with following(graph, f"($id: ID!) {query}", id=hall) as follower:
        assert (await follower.next())["process"]["executions"]["nodes"] == []
        executing = asyncio.create_task(home.do("executeProcess", id=hall, inputs=arguments()))
        seen: list[Any] = []
        while not seen or seen[-1]["status"] == "RUNNING" or len(seen[-1]["steps"]) < 3:
            seen += (await follower.next())["process"]["executions"]["nodes"]
        execution = (await executing)["execution"]
    counts = [len(each["steps"]) for each in seen]
    assert counts == sorted(counts)
    last = f'subscription {{ execution(id: "{execution["id"]}") {steps} }}'
    assert (await graph.data(last))["execution"] == seen[-1]


async def transition(graph: Graph, *writes: str) -> None:
    """Change the tree as the engine does: the number of the root grows in the same statement."""
    parts = ", ".join(f"write_{number} AS ({write})" for number, write in enumerate(writes))
    await graph.run(
        f"WITH fence AS (UPDATE execution SET seq = seq + 1 WHERE id = {ROOT} RETURNING id),"
        f" {parts} SELECT FROM fence"
    )


async def test_a_nested_execution_is_seen_as_it_changes(graph: Graph) -> None:
    await insert(graph.database, RECORDS)
    tree = (
        "{ execution(databaseId: %s) { sequence inDoubt inDoubtSteps { databaseId }"
        " steps { result subexecution { status steps { result status } } } } }"
    )
    async with (
        following(graph, tree % ROOT) as root,
        following(graph, tree % DEEP) as deep,
        following(graph, tree % OTHER) as other,
    ):
        first = (await root.next())["execution"]
        assert (await deep.next())["execution"]["sequence"] == first["sequence"] == 17
        await other.next()
        await transition(
            graph,
            f"INSERT INTO execution_step (id, execution_id, position, source_name, action, result,"
            f" status) SELECT 99, {NESTED}, 3, 'echo', 'say', '3', 'succeeded' FROM fence",
            "UPDATE execution_step SET in_doubt = false FROM fence WHERE execution_step.id = 8",
        )
        second = (await root.next())["execution"]
        assert second["sequence"] == 18
        assert second["steps"][0]["result"]["results"] == ["on", None, 3]
        assert len(second["steps"][0]["subexecution"]["steps"]) == 3
        assert [step["databaseId"] for step in second["inDoubtSteps"]] == [6, 2**40]
        changed = (await deep.next())["execution"]
        assert (changed["sequence"], changed["inDoubt"]) == (18, False)
        # A change without the engine is seen as well, at any depth.
        await graph.run("UPDATE execution_step SET in_doubt = true WHERE id = 7")
        third = (await root.next())["execution"]
        assert [step["databaseId"] for step in third["inDoubtSteps"]] == [6, 7, 2**40]
        assert (await deep.next())["execution"]["inDoubt"] is True
        assert await other.is_silent()


async def test_what_runs_is_seen(graph: Graph) -> None:
    await insert(graph.database, RECORDS)
    running = "{ executions(where: {status: {in: [RUNNING]}}) { nodes { databaseId } } }"
    async with following(graph, running) as follower:
        assert (await follower.next())["executions"]["nodes"] == []
        await graph.run(f"UPDATE execution SET status = 'running', seq = 1 WHERE id = {OTHER}")
        assert (await follower.next())["executions"]["nodes"] == [{"databaseId": OTHER}]
        await transition(graph, f"UPDATE execution SET status = 'running' WHERE id = {NESTED}")
        nodes = (await follower.next())["executions"]["nodes"]
        assert nodes == [{"databaseId": NESTED}, {"databaseId": OTHER}]
        await graph.run("UPDATE execution SET status = 'cancelled' WHERE status = 'running'")
        assert (await follower.next())["executions"]["nodes"] == []


async def test_only_executions_of_the_tree_that_changed_are_read_again(graph: Graph) -> None:
    await insert(graph.database, RECORDS)
    async with contextlib.AsyncExitStack() as stack:
        for execution in (ROOT, NESTED, DEEP, OTHER):
            query = f"{{ execution(databaseId: {execution}) {{ steps {{ result }} }} }}"
            await (await stack.enter_async_context(following(graph, query))).next()
        assert await reads_of(graph, "UPDATE execution_step SET result = '1' WHERE id = 7") == 3
        assert await reads_of(graph, f"UPDATE execution SET seq = 4 WHERE id = {OTHER}") == 1
        # One that shares their shard in the log of changes.
        await graph.run(
            "INSERT INTO execution (id, process_reference, process_name, enabled, profile_name)"
            f" VALUES ({ROOT + SHARDS}, 'one', 'One', true, 'admin')"
        )
        write = f"UPDATE execution SET seq = 4 WHERE id = {ROOT + SHARDS}"
        assert await reads_of(graph, write) == 0


async def test_only_what_depends_on_a_change_is_read_again(graph: Graph) -> None:
    home = Home(graph)
    ids = [await home.process(f"p{number}") for number in range(3)]
    assert len(ids) == 3
    async with contextlib.AsyncExitStack() as stack:
        for number in (1, 2, 3):
            query = f"{{ process(databaseId: {number}) {{ name }} }}"
            follower = await stack.enter_async_context(following(graph, query))
            await follower.next()
        pages = await stack.enter_async_context(following(graph, "{ processes { totalCount } }"))
        await pages.next()
        espaces = await stack.enter_async_context(following(graph, "{ espaces { totalCount } }"))
        await espaces.next()
        assert await reads_of(graph, "UPDATE process SET name = 'x' WHERE id = 1") == 2
        assert await reads_of(graph, "UPDATE process SET name = 'y' WHERE id IN (1, 3)") == 3
        assert await reads_of(graph, "INSERT INTO espace (reference, name) VALUES ('e', 'E')") == 1
        assert await reads_of(graph, "UPDATE source SET name = name") == 0
        assert await reads_of(graph, "SELECT 1") == 0


async def test_subscriptions_of_the_same_values_share_a_read_in_any_words(graph: Graph) -> None:
    await Home(graph).process("hall")
    subscriptions = graph.services.subscriptions
    async with contextlib.AsyncExitStack() as stack:
        followers = [
            await stack.enter_async_context(following(graph, query, **variables))
            for query, variables in (
                ('{ process(reference: "hall") { name } }', {}),
                ('a { process(reference: "hall") { ...F } } fragment F on Process { name }', {}),
                ("($r: String) { process(reference: $r) { name } }", {"r": "hall"}),
                ("($r: String!) { process(reference: $r) { name } }", {"r": "hall"}),
            )
        ]
        for follower in followers:
            await follower.next()
        answers = {id(follower.newest) for follower in followers}
        assert len(answers) <= subscriptions.distinct <= 2
        other = '{ other: process(reference: "hall") { name } }'
        follower = await stack.enter_async_context(following(graph, other))
        assert await follower.next() == {"other": {"name": "The hall"}}


async def test_the_first_answer_is_not_older_than_the_subscription(graph: Graph) -> None:
    """Even if another subscription has the same answer, which was read before."""
    count = "{ processes { totalCount } }"
    async with following(graph, count) as first:
        await first.next()
        for number in range(1, 30):
            await graph.run("INSERT INTO process (reference, name) VALUES ($1, 'x')", f"p{number}")
            async with following(graph, count) as another:
                assert await another.next() == {"processes": {"totalCount": number}}


async def test_an_answer_that_is_being_read_may_be_too_old_for_a_new_subscription(
    graph: Graph,
) -> None:
    await fill(graph)
    async with following(graph, EXPENSIVE, x="y") as first:
        await first.next()
        (live,) = graph.services.subscriptions._live.values()
        for number in range(10):
            await graph.run("UPDATE process SET name = $1 WHERE id = 1", f"a{number}")
            while not live.fetching:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)
            await graph.run("UPDATE process SET name = $1 WHERE id = 1", f"b{number}")
            async with following(graph, EXPENSIVE, x="y") as second:
                answer = await second.next()
                assert answer["processes"]["nodes"][0]["name"] == f"b{number}"


async def test_a_row_that_appears_and_disappears_is_seen(graph: Graph) -> None:
    async with following(graph, '{ process(reference: "hall") { name } }') as follower:
        assert await follower.next() == {"process": None}
        await Home(graph).process("hall")
        assert await follower.next() == {"process": {"name": "The hall"}}
        await graph.run("UPDATE process SET reference = 'attic'")
        assert await follower.next() == {"process": None}
        await graph.run("UPDATE process SET reference = 'hall'")
        assert await follower.next() == {"process": {"name": "The hall"}}
        await graph.run("TRUNCATE process CASCADE")
        assert await follower.next() == {"process": None}


async def test_a_change_of_a_part_and_of_a_called_process_is_seen(graph: Graph) -> None:
    home = Home(graph)
    await home.process("inner")
    await home.process("hall", actions=[{"source": "process", "action": "inner"}])
    async with following(graph, f'{{ process(reference: "hall") {TREE} }}') as follower:
        await follower.next()
        await graph.run("UPDATE process SET reference = 'renamed' WHERE reference = 'inner'")
        (action,) = (await follower.next())["process"]["actions"]
        assert action["action"] == action["subprocess"]["reference"] == "renamed"
        await graph.run("DELETE FROM action")
        assert (await follower.next())["process"]["actions"] == []


async def test_a_change_that_was_rolled_back_is_not_seen(graph: Graph) -> None:
    async with following(graph, "{ processes { totalCount } }") as follower:
        await follower.next()
        with contextlib.suppress(ZeroDivisionError):
            async with graph.database.transaction() as transaction:
                await transaction.fetch("INSERT INTO process (reference, name) VALUES ('a', 'A')")
                raise ZeroDivisionError
        assert await follower.is_silent()


async def test_every_answer_is_that_of_the_query(graph: Graph) -> None:
    home = Home(graph)
    await home.process("hall", actions=[echo()], inputs=[{"name": "n"}])
    await home.do("createEspace", espace={"reference": "e", "name": "E"})
    for selection in (
        f"processes(first: 5) {{ nodes {TREE} pageInfo {{ hasNextPage endCursor }} }}",
        f'process(reference: "hall") {TREE}',
        "espaces { nodes { name } totalCount }",
        'espace(reference: "e") { name processes { totalCount } }',
        "executions { totalCount }",
        "sources { nodes { name kind settings } }",
        "profiles { nodes { name permissions } }",
        "viewer { __typename }",
        'node(id: "UHJvY2Vzczox") { __typename id }',
        'nodes(ids: ["UHJvY2Vzczox", "RXNwYWNlOjE="]) { __typename id }',
        'profile(name: "guest") { seesAll }',
        'source(name: "echo") { builtIn }',
    ):
        for profile in ("admin", "guest"):
            first = body_of(await graph.answer(f"subscription {{ {selection} }}", profile=profile))
            query = f"query        {{ {selection} }}"
            assert first == body_of(await graph.answer(query, profile=profile))


async def test_an_expensive_answer_that_changes_all_the_time_is_not_read_all_the_time(
    graph: Graph,
) -> None:
    await fill(graph)
    subscriptions = graph.services.subscriptions
    async with following(graph, EXPENSIVE, x="y") as follower:
        await follower.next()
        (live,) = subscriptions._live.values()
        samples = fetching = 0
        while samples < 300:
            await graph.run("UPDATE process SET name = $1 WHERE id = 1", str(samples))
            samples += 1
            fetching += live.fetching
        assert 0.1 < fetching / samples < 0.75
    assert subscriptions.reads > 3


async def test_subscribing_and_leaving_again_and_again_leaves_nothing(graph: Graph) -> None:
    subscriptions = graph.services.subscriptions
    for number in range(300):
        query = f"{{ process(databaseId: {1 + number % 7}) {{ name }} }}"
        async with following(graph, query) as follower:
            if number % 3 == 0:
                await follower.next()
    assert subscriptions.count == subscriptions.distinct == 0
    assert not subscriptions._by_dependency
    assert not subscriptions._holdings._bytes

    async def stopped() -> bool:
        return subscriptions.watcher._running is None and not subscriptions._readers

    await until(stopped)
