"""Test executing through the /process dialect (docs/process-audits.md, PROC-039 to PROC-047, 089,
090)."""

from __future__ import annotations

from typing import Any

import pytest

from resolvers.errors.catalogue import ErrorKind
from storage.database.database import Database
from tests.conftest import running_gateway
from tests.resolvers.home import until
from tests.rest_compat.api import Api, run, say


async def test_proc_039_returns_the_execution(api: Api) -> None:
    await api.process("sub", sources=[say("inside")])
    process = await api.process("a", sources=[say("one"), run("sub")])
    executed = await api.ok("POST", f"/process/{process}/execute", {"inputs": []})
    nested = executed["results"][1]["result"].pop("execution")
    assert isinstance(nested, int)
    assert executed == {
        "id": executed["id"],
        "status": "succeeded",
        "enable": 0,
        "results": [
            {"source": "echo", "action": "say", "status": "succeeded", "result": {"text": "one"}},
            {
                "source": "process",
                "action": "sub",
                "status": "succeeded",
                "result": {"results": [{"text": "inside"}]},
            },
        ],
    }


async def test_proc_040_flips_a_switch(api: Api) -> None:
    process = await api.process(
        mode="switch", sources=[say("on", enable=0), say("off", enable=1), say("bright", enable=0)]
    )
    runs = [await api.ok("POST", f"/process/{process}/execute") for _ in range(3)]
    texts = [[result["result"]["text"] for result in ran["results"]] for ran in runs]
    assert texts == [["on", "bright"], ["off"], ["on", "bright"]]
    assert [ran["enable"] for ran in runs] == [1, 0, 1]
    assert (await api.get_process(process))["enable"] == 1


async def test_proc_041_runs_all_actions_of_a_simple_process(api: Api) -> None:
    process = await api.process(sources=[say("1", enable=0), say("2", enable=1)])
    ran = await api.ok("POST", f"/process/{process}/execute")
    assert [result["result"]["text"] for result in ran["results"]] == ["1", "2"]
    assert ran["enable"] == (await api.get_process(process))["enable"] == 0


async def test_proc_042_accepts_inputs_in_every_form(api: Api) -> None:
    inputs = [{"name": "Who"}, {"name": "n", "type": "number"}]
    process = await api.process(sources=[say("{who} {n} {x}")], inputs=inputs)
    forms: list[Any] = [
        [{"reference": "who", "value": "you"}, {"reference": "n", "value": 3}],
        [{"name": "n", "value": "3"}, {"name": "who", "value": "you"}],
        ["you", 3],
        {"who": "you", "n": 3},
        {"who": "you", "n": "3"},
    ]
    for form in forms:
        ran = await api.ok("POST", f"/process/{process}/execute", {"inputs": form})
        assert ran["results"][0]["result"] == {"text": "you 3 {x}"}, form


async def test_proc_043_assigns_bare_values_by_the_state(api: Api) -> None:
    process = await api.process(
        mode="switch",
        sources=[say("{b} {c}", enable=0)],
        inputs=[{"name": "a"}, {"name": "b", "enable": 0}, {"name": "c", "enable": 0}],
    )
    ran = await api.ok("POST", f"/process/{process}/execute", {"inputs": ["1", True]})
    assert ran["results"][0]["result"] == {"text": "1 true"}
    message = await api.invalid("POST", f"/process/{process}/execute", {"inputs": ["1", "2"]})
    assert message == "inputs[1]: expected at most 1 values, got 2"


async def test_proc_044_needs_no_body_without_inputs(api: Api) -> None:
    process = await api.process(sources=[say()])
    bodies: list[Any] = [None, {}, {"inputs": None}, {"inputs": []}, {"inputs": {}}]
    for body in bodies:
        assert (await api.ok("POST", f"/process/{process}/execute", body))["status"] == "succeeded"


async def test_proc_045_rejects_invalid_inputs_before_running(api: Api) -> None:
    process = await api.process(
        sources=[say("{who}")], inputs=[{"name": "Who"}, {"name": "n", "type": "number"}]
    )
    cases: list[tuple[Any, str]] = [
        (None, "inputs.who: is missing; inputs.n: is missing"),
        ({"who": "x"}, "inputs.n: is missing"),
        ({"who": None, "n": 1}, "inputs.who: is missing"),
        (["x"], "inputs.n: is missing"),
        ({"who": "x", "n": 1, "z": 2}, "inputs.z: the process has no such input"),
        ({"who": "x", "n": "many"}, 'inputs.n: expected a number such as 21.5, got "many"'),
        (["x", "many"], 'inputs.n: expected a number such as 21.5, got "many"'),
        (
            [{"name": name, "value": "1"} for name in ("who", "n", "who")],
            "inputs.who: is given twice",
        ),
        ([{"reference": "who"}], "inputs[0].value: is required"),
        ([{"value": 1}], "inputs[0].reference: is required"),
        ([{"reference": "who", "value": []}], "inputs[0].value: expected text, got a list"),
        ({"who": {}}, "inputs.who: expected text, got an object"),
        (["x", {}], "inputs[1]: expected text, got an object"),
        (5, "inputs: expected a list, got 5"),
        ("who", 'inputs: expected a list, got "who"'),
    ]
    for inputs, message in cases:
        path = f"/process/{process}/execute"
        assert message in await api.invalid("POST", path, {"inputs": inputs})


async def test_proc_046_checks_inputs_by_their_types(api: Api) -> None:
    values: dict[str, tuple[list[Any], list[Any]]] = {
        "number": (["21.5", "-3", 4, 1e3], ["x", "", True]),
        "integer": (["7", 7], ["7.5", 7.5]),
        "boolean": ([True, "false", 1, "0"], ["yes", 2]),
        "choice": (["a word"], [""]),
        "time": (["07:30", "23:59:59"], ["24:00", "7:30"]),
        "color": (["#ff8800"], ["red", "#ff88"]),
        "text": (["", "x", 5], []),
        "weekday": (["", "monday", False], []),
    }
    for word, (valid, invalid) in values.items():
        process = await api.process(word, inputs=[{"name": "x", "type": word}])
        path = f"/process/{process}/execute"
        for value in valid:
            await api.ok("POST", path, {"inputs": {"x": value}})
        for value in invalid:
            message = await api.invalid("POST", path, {"inputs": {"x": value}})
            assert message.startswith("inputs.x: expected ")


async def test_proc_047_names_the_failed_action(api: Api) -> None:
    await api.process("sub", inputs=[{"name": "who"}])
    process = await api.process("a", mode="switch", enable=1, sources=[say(), run("sub"), say()])
    message = await api.error(
        ErrorKind.EXECUTION_FAILED, "POST", f"/process/{process}/execute", {"inputs": []}
    )
    assert 'the execution of "a" failed: action 2 ("process") failed' in message
    assert "who" in message
    assert (await api.get_process(process))["enable"] == 1
    (recorded,) = (await api.all_rows())["execution"]
    assert recorded["status"] == "failed"


async def test_proc_089_answers_running_when_its_time_is_over(
    database: Database, installed_package: None
) -> None:
    async with running_gateway(database, execution_timeout=0.8) as gateway:
        api = Api(gateway)
        await gateway.run("INSERT INTO source (name, kind) VALUES ('trouble', 'trouble')")
        sources = [say("one"), {"source": "trouble", "action": "tarry"}, say("two")]
        process = await api.process(mode="switch", enable=1, sources=sources)
        await gateway.run("UPDATE process SET timeout = 60")
        executed = await api.ok("POST", f"/process/{process}/execute")
        one = {"source": "echo", "action": "say", "status": "succeeded", "result": {"text": "one"}}
        assert executed == {
            "id": executed["id"],
            "status": "running",
            "enable": 1,
            "results": [
                one,
                {"source": "trouble", "action": "tarry", "status": "running", "result": None},
            ],
        }

        async def succeeded() -> bool:
            return bool(await gateway.run("SELECT FROM execution WHERE status = 'succeeded'"))

        await until(succeeded)
        assert (await api.get_process(process))["enable"] == 0


async def test_the_words_of_statuses_are_those_that_clients_know(
    database: Database, installed_package: None
) -> None:
    """An execution that is queued counts as running, and so does a step that waits."""
    async with running_gateway(database, execution_timeout=0.8) as gateway:
        api = Api(gateway)
        await gateway.run("INSERT INTO source (name, kind) VALUES ('trouble', 'trouble')")
        sources = [{"source": "trouble", "action": "refuse"}]
        process = await api.process(mode="switch", enable=1, sources=sources)
        await gateway.run("UPDATE process SET timeout = 300")
        await gateway.run("UPDATE action SET retries = 5")
        executed = await api.ok("POST", f"/process/{process}/execute")
        assert executed["status"] == executed["results"][0]["status"] == "running"
        assert executed["results"][0]["result"] is None
        queued = await api.ok("POST", f"/process/{process}/execute")
        assert (queued["status"], queued["results"]) == ("running", [])
        statuses = await gateway.run("SELECT status FROM execution ORDER BY id")
        assert [row["status"] for row in statuses] == ["running", "queued"]
        steps = await gateway.run("SELECT status FROM execution_step")
        assert [row["status"] for row in steps] == ["waiting"]


@pytest.mark.parametrize("key", ["k", "x" * 255, 'a "b" ~!', "c, d"])
async def test_proc_090_a_key_identifies_a_request(api: Api, key: str) -> None:
    process = await api.process(sources=[say("{who}")], inputs=[{"name": "who"}])
    path, headers = f"/process/{process}/execute", {"Idempotency-Key": key}
    first = await api.ok("POST", path, {"inputs": ["you"]}, headers=headers)
    assert await api.ok("POST", path, {"inputs": ["you"]}, headers=headers) == first
    assert (await api.ok("POST", path, {"inputs": ["you"]}))["id"] != first["id"]
    await api.error(ErrorKind.CONFLICT, "POST", path, {"inputs": ["me"]}, headers=headers)
    assert len((await api.all_rows())["execution"]) == 2


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("", '""'),
        ("x" * 256, f'"{"x" * 38}… of 256 characters'),
        ("a\tb", '"a\\tb"'),
        ("é", '"é"'),
    ],
)
async def test_a_malformed_key_is_invalid(api: Api, key: str, shown: str) -> None:
    process = await api.process(sources=[say("one")])
    path = f"/process/{process}/execute"
    message = await api.invalid("POST", path, headers={"Idempotency-Key": key})
    expected = "Idempotency-Key: expected 1 to 255 printable ASCII characters, got"
    assert message == f"{expected} {shown}"
