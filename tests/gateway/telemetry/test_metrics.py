"""Test the metrics that the gateway exposes."""

from __future__ import annotations

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


async def test_only_admins_can_read_metrics(gateway: Gateway) -> None:
    assert (await gateway.call("GET", "/metrics", profile=None)).status == 401
    assert (await gateway.call("GET", "/metrics", profile="guest")).status == 403
