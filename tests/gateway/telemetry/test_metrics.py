"""What an operator can watch."""

from __future__ import annotations

from tests.conftest import Gateway

TREE = {"query": "query($n: Int) { processes(first: $n) { nodes { name } } }"}


async def read(gateway: Gateway) -> dict[str, float]:
    reply = await gateway.call("GET", "/metrics")
    assert reply.status == 200
    rows = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (row.rsplit(" ", 1) for row in rows)}


async def test_an_operation_seen_before_is_a_hit_whatever_its_values(gateway: Gateway) -> None:
    before = await read(gateway)
    for number in (1, 2, 3):
        await gateway.call("POST", "/graphql", {**TREE, "variables": {"n": number}})
    after = await read(gateway)
    assert after["gateway_compiled_misses_total"] - before["gateway_compiled_misses_total"] == 1
    assert after["gateway_compiled_hits_total"] - before["gateway_compiled_hits_total"] == 2


async def test_what_the_executor_runs_is_counted_apart(gateway: Gateway) -> None:
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


async def test_metrics_are_for_admins(gateway: Gateway) -> None:
    assert (await gateway.call("GET", "/metrics", profile=None)).status == 401
    assert (await gateway.call("GET", "/metrics", profile="guest")).status == 403
