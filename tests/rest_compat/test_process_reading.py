"""Test reading through the /process dialect (docs/process-audits.md, PROC-001 to PROC-005)."""

from __future__ import annotations

from tests.conftest import Gateway, StartGateway
from tests.rest_compat.api import Api, run, say


async def test_proc_001_lists_espaces(api: Api) -> None:
    assert await api.ok("GET", "/espaces") == []
    second = await api.espace("night", description="After dark", icon="moon")
    first = await api.espace("light", "Lumière")
    assert await api.ok("GET", "/espaces") == [
        {
            "id": second,
            "reference": "night",
            "name": "Night",
            "description": "After dark",
            "icon": "moon",
        },
        {"id": first, "reference": "light", "name": "Lumière", "description": "", "icon": ""},
    ]


async def test_proc_002_lists_processes(api: Api) -> None:
    assert await api.ok("GET", "/process") == []
    ids = [await api.process(f"p{number:03}", sources=[say()]) for number in range(120)]
    listed = await api.ok("GET", "/process")
    assert [process["id"] for process in listed] == ids
    assert listed[7] == await api.get_process(ids[7])


async def test_proc_003_shows_a_complete_process(api: Api) -> None:
    espace = await api.espace("light", "Lumière", description="Lamps", icon="bulb")
    process = await api.process(
        "lamp",
        name="Lamp",
        nameEnable="Lamp off",
        nameDisable="Lamp on",
        description="The one in the hall",
        espace=espace,
        icon="lamp",
        mode="switch",
        enable=1,
        sources=[say("{level}", enable=0)],
        inputs=[{"name": "Level", "type": "number", "enable": 0}],
        profiles=["guest"],
    )
    shown = await api.get_process(process)
    (action,), (input_,) = shown["actions"], shown["inputs"]
    assert shown == {
        "id": process,
        "reference": "lamp",
        "name": "Lamp",
        "nameEnable": "Lamp off",
        "nameDisable": "Lamp on",
        "description": "The one in the hall",
        "espace": {
            "id": espace,
            "reference": "light",
            "name": "Lumière",
            "description": "Lamps",
            "icon": "bulb",
        },
        "icon": "lamp",
        "mode": "switch",
        "enable": 1,
        "actions": [
            {
                "id": action["id"],
                "source": "echo",
                "action": "say",
                "enable": 0,
                "arguments": [{"reference": "text", "value": "{level}"}],
            }
        ],
        "inputs": [
            {
                "id": input_["id"],
                "reference": "level",
                "name": "Level",
                "type": "number",
                "enable": 0,
            }
        ],
        "profiles": [{"id": 3, "name": "guest"}],
    }


async def test_proc_004_returns_states_as_numbers(api: Api) -> None:
    process = await api.process(mode="switch", enable=True, sources=[say(enable=False)])
    body = (await api.call("GET", f"/process/{process}")).body
    assert body.count(b'"enable":1') == 1
    assert body.count(b'"enable":0') == 1
    assert b'"mode":"switch"' in body
    assert b"true" not in body
    assert body.startswith(b'{"error":false,')


async def test_proc_005_reads_with_one_statement(start_gateway: StartGateway) -> None:
    async with start_gateway(kept_answers_bytes=0) as gateway:
        await _reads_with_one_statement(gateway)


async def _reads_with_one_statement(gateway: Gateway) -> None:
    api, database, token = Api(gateway), gateway.database, await gateway.token()
    first = await api.process("p", sources=[say()] * 3, inputs=[{"name": "x"}])
    counts = set()
    for reference in "abc":
        for path in ("/espaces", "/process", f"/process/{first}"):
            before = database.statements
            await api.ok("GET", path, token=token)
            counts.add(database.statements - before)
        for number in range(9):
            await api.process(f"{reference}{number}", sources=[say(), run("p")])
    assert counts == {1}
