"""Test the metrics that the gateway exposes."""

from __future__ import annotations

from resolvers.values.ids import global_id
from tests.conftest import Gateway

TREE = {"query": "query($n: Int) { processes(first: $n) { nodes { name } } }"}


async def read(gateway: Gateway) -> dict[str, float]:
    reply = await gateway.call("GET", "/metrics")
    assert reply.status == 200
    rows = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (row.rsplit(" ", 1) for row in rows)}


async def test_a_repeated_operation_with_other_variables_is_a_cache_hit(gateway: Gateway) -> None:
    before = await read(gateway)
    for number in (1, 2, 3):
        await gateway.call("POST", "/graphql", {**TREE, "variables": {"n": number}})
    after = await read(gateway)
    assert after["gateway_compiled_misses_total"] - before["gateway_compiled_misses_total"] == 1
    assert after["gateway_compiled_hits_total"] - before["gateway_compiled_hits_total"] == 2


async def test_compiled_and_executed_operations_are_counted_separately(gateway: Gateway) -> None:
    before = await read(gateway)
    await gateway.call("POST", "/graphql", TREE)
    await gateway.call(
        "POST", "/graphql", {"query": 'mutation { deleteEspace(id: "x") { deletedId } }'}
    )
    await gateway.call("GET", "/process")
    after = await read(gateway)
    changed = {name: after[name] - before[name] for name in after if "operations" in name}
    assert changed['gateway_operations_total{path="compiled"}'] == 2
    assert changed['gateway_operations_total{path="executor"}'] == 1


async def test_executions_are_counted_by_how_they_ended(gateway: Gateway) -> None:
    before = await read(gateway)
    async with gateway.services.database.transaction() as transaction:
        await transaction.script(
            """INSERT INTO process (reference, name) VALUES ('light', 'Light');
            INSERT INTO source (name, kind) VALUES ('gone', 'no such kind');
            INSERT INTO process (reference, name) VALUES ('breaks', 'Breaks');
            INSERT INTO action (process_id, position, source_id, action)
            SELECT process.id, 1, source.id, 'on' FROM process, source
            WHERE process.reference = 'breaks' AND source.name = 'gone'"""
        )
    execute = "mutation($id: ID!) { executeProcess(id: $id) { execution { id } } }"
    for process in (1, 1, 2):
        variables = {"id": global_id("Process", process)}
        await gateway.call("POST", "/graphql", {"query": execute, "variables": variables})
    after = await read(gateway)
    changed = {name: after[name] - before[name] for name in after if "execution" in name}
    assert changed == {
        "gateway_executions_admitted_total": 3,
        "gateway_executions_running": 0,
        'gateway_executions_ended_total{status="succeeded"}': 2,
        'gateway_executions_ended_total{status="failed"}': 1,
        'gateway_executions_ended_total{status="cancelled"}': 0,
        'gateway_executions_ended_total{status="interrupted"}': 0,
        "gateway_executions_taken_over_total": 0,
    }
    assert after["gateway_steps_in_doubt_total"] == after["gateway_steps_retried_total"] == 0


async def test_only_admins_can_read_metrics(gateway: Gateway) -> None:
    assert (await gateway.call("GET", "/metrics", profile=None)).status == 401
    assert (await gateway.call("GET", "/metrics", profile="guest")).status == 403
