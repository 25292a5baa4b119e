"""Test deleting and changing processes (docs/process-audits.md, PROC-029 to PROC-038)."""

from __future__ import annotations

from resolvers.errors.catalogue import ErrorKind
from tests.rest_compat.api import Api, say


async def test_proc_029_deletes_a_process_with_its_parts(api: Api) -> None:
    process = await api.process(sources=[say()], inputs=[{"name": "x"}], profiles=["guest"])
    await api.ok("POST", f"/process/{process}/execute", {"inputs": ["y"]})
    assert await api.ok("DELETE", f"/process/{process}") is None
    await api.not_found("GET", f"/process/{process}")
    await api.not_found("DELETE", f"/process/{process}")
    rows = await api.all_rows()
    assert [len(rows[table]) for table in ("action", "input", "authorisation")] == [0, 0, 0]
    assert len(rows["execution"]) == 1


async def test_proc_030_adds_an_action_at_the_end(api: Api) -> None:
    process = await api.process(sources=[say("first")])
    added = await api.ok("POST", f"/process/{process}/actions", say("last", enable=0))
    shown = await api.get_process(process)
    assert added == {"id": shown["actions"][1]["id"]}
    assert shown["actions"][1]["arguments"] == [{"reference": "text", "value": "last"}]
    assert shown["actions"][1]["enable"] == 0


async def test_proc_031_requires_source_and_action(api: Api) -> None:
    process = await api.process()
    message = await api.invalid("POST", f"/process/{process}/actions", {"enable": 1})
    assert message == "source: is required; action: is required"
    message = await api.invalid("POST", f"/process/{process}/actions", {"source": {}, "action": ""})
    assert "source: expected the name of a source" in message
    assert "action: must not be empty" in message


async def test_proc_032_deletes_an_action_of_the_process(api: Api) -> None:
    process = await api.process("a", sources=[say("1"), say("2")])
    other = await api.process("b")
    first, second = (await api.get_process(process))["actions"]
    await api.not_found("DELETE", f"/process/{other}/actions/{first['id']}")
    assert await api.ok("DELETE", f"/process/{process}/actions/{first['id']}") is None
    assert (await api.get_process(process))["actions"] == [second]
    await api.not_found("DELETE", f"/process/{process}/actions/{first['id']}")


async def test_proc_033_adds_an_input(api: Api) -> None:
    process = await api.process(inputs=[{"name": "First"}])
    body = {"name": "Last one", "type": "number", "enable": 0}
    added = await api.ok("POST", f"/process/{process}/inputs", body)
    last = {"id": added["id"], "reference": "last_one", **body}
    assert (await api.get_process(process))["inputs"][1] == last
    assert added.keys() == {"id"}
    assert await api.invalid("POST", f"/process/{process}/inputs", {}) == "name: is required"


async def test_proc_034_rejects_a_taken_input_reference(api: Api) -> None:
    process = await api.process(inputs=[{"name": "Level"}])
    message = await api.error(
        ErrorKind.CONFLICT, "POST", f"/process/{process}/inputs", {"name": "level"}
    )
    assert "input with this reference" in message
    assert len((await api.get_process(process))["inputs"]) == 1


async def test_proc_035_deletes_an_input_by_id_or_reference(api: Api) -> None:
    process = await api.process(inputs=[{"name": "a"}, {"name": "b/ c", "reference": "b/ c"}])
    first = (await api.get_process(process))["inputs"][0]["id"]
    assert await api.ok("DELETE", f"/process/{process}/inputs/{first}") is None
    assert await api.ok("DELETE", f"/process/{process}/inputs/b%2F%20c") is None
    assert (await api.get_process(process))["inputs"] == []
    await api.not_found("DELETE", f"/process/{process}/inputs/{first}")
    await api.not_found("DELETE", f"/process/{process}/inputs/b")


async def test_proc_036_ignores_the_body_when_deleting_an_input(api: Api) -> None:
    process = await api.process()
    for body in (b"{", b"null", b"\xff", b'{"name": 5, "enable": "x"}'):
        await api.ok("POST", f"/process/{process}/inputs", {"name": "x"})
        await api.ok("DELETE", f"/process/{process}/inputs/x", body)
        assert (await api.get_process(process))["inputs"] == []


async def test_proc_037_prefers_the_id_of_an_input(api: Api) -> None:
    process = await api.process(inputs=[{"name": "a"}])
    taken = (await api.get_process(process))["inputs"][0]["id"]
    for reference in (str(taken), "12345", "99999999999"):
        await api.ok("POST", f"/process/{process}/inputs", {"name": "n", "reference": reference})
    await api.ok("DELETE", f"/process/{process}/inputs/{taken}")
    remaining = [input_["reference"] for input_ in (await api.get_process(process))["inputs"]]
    assert remaining == [str(taken), "12345", "99999999999"]
    for reference in remaining:
        await api.ok("DELETE", f"/process/{process}/inputs/{reference}")
    assert (await api.get_process(process))["inputs"] == []


async def test_proc_038_keeps_the_inputs_of_other_processes(api: Api) -> None:
    process = await api.process("a", inputs=[{"name": "x"}])
    other = await api.process("b")
    input_ = (await api.get_process(process))["inputs"][0]
    await api.not_found("DELETE", f"/process/{other}/inputs/{input_['id']}")
    await api.not_found("DELETE", f"/process/{other}/inputs/x")
