"""Test bodies of the /process dialect (docs/process-audits.md, PROC-066 to PROC-072)."""

from __future__ import annotations

import json
from typing import Any

from resolvers.errors.catalogue import ErrorKind
from tests.conftest import StartGateway
from tests.rest_compat.api import BAD_BODIES, Api, say


async def test_proc_066_rejects_invalid_bodies(api: Api) -> None:
    for body, message in BAD_BODIES.values():
        assert message in await api.invalid("POST", "/process", body)


async def test_proc_067_rejects_invalid_bodies_on_every_route(api: Api) -> None:
    process = await api.process(profiles=["guest"])
    names = (
        "broken",
        "not_utf8",
        "null",
        "list",
        "nul",
        "surrogate",
        "duplicate",
        "deep",
        "digits",
    )
    paths = [("POST", part) for part in ("actions", "inputs", "execute", "profiles")]
    for method, part in [*paths, ("DELETE", "profiles")]:
        for name in names:
            body, message = BAD_BODIES[name]
            error = await api.invalid(method, f"/process/{process}/{part}", body)
            assert message in error, (part, name)


async def test_proc_068_requires_a_body(api: Api) -> None:
    process = await api.process()
    for path, expected in (
        ("/process", "reference, name"),
        (f"/process/{process}/actions", "source, action"),
        (f"/process/{process}/inputs", "name"),
        (f"/process/{process}/profiles", "idProfile"),
    ):
        for body in (None, b"", b"  \n"):
            message = await api.invalid("POST", path, body)
            assert message == f"a JSON body is required: an object with {expected}"


async def test_proc_069_rejects_text_that_cannot_be_stored(api: Api) -> None:
    process = await api.process(sources=[say()], inputs=[{"name": "x"}])
    texts: list[tuple[str, dict[str, Any]]] = [
        ("description", {"reference": "a", "name": "b", "description": "\0"}),
        ("sources[0].arguments[0].value", {"reference": "a", "name": "b", "sources": [say("\0")]}),
        (
            "inputs[0].type",
            {"reference": "a", "name": "b", "inputs": [{"name": "x", "type": "\0"}]},
        ),
    ]
    for path, body in texts:
        message = await api.invalid("POST", "/process", body)
        assert message == f"{path}: holds a NUL character (\\u0000)"
        lone = json.dumps(body).replace("\\u0000", "\\udfff").encode()
        assert "surrogate" in await api.invalid("POST", "/process", lone)
    path = f"/process/{process}/execute"
    assert "NUL" in await api.invalid("POST", path, {"inputs": {"x": "\0"}})
    assert "NUL" in await api.invalid("POST", path, {"inputs": {"x\0": "a"}})


async def test_proc_070_limits_lengths(api: Api) -> None:
    longest = {
        "reference": "r" * 255,
        "name": "é" * 255,
        "nameEnable": "n" * 255,
        "nameDisable": "n" * 255,
        "description": "d" * 4000,
        "icon": "i" * 255,
    }
    process = await api.ok("POST", "/process", longest)
    assert (await api.get_process(process["id"])) | longest == await api.get_process(process["id"])
    for name, text in longest.items():
        body = longest | {"reference": "other"} | {name: text + "x"}
        message = await api.invalid("POST", "/process", body)
        assert message.startswith(f"{name}: expected at most {len(text):,} characters")
    many = {"reference": "a", "name": "b", "sources": [say()] * 1001}
    assert await api.invalid("POST", "/process", many) == "sources: expected at most 1,000 items"


async def test_proc_071_rejects_a_body_over_the_limit(start_gateway: StartGateway) -> None:
    async with start_gateway(max_body_bytes=1000) as gateway:
        api = Api(gateway)
        body = {"reference": "a", "name": "A", "ignored": "x" * 1000}
        message = await api.invalid("POST", "/process", body)
        assert message == f"the body is longer than 1,000 bytes: it has {len(json.dumps(body)):,}"
        # The permission is checked before the body is read.
        await api.error(ErrorKind.FORBIDDEN, "POST", "/process", body, profile="guest")


async def test_proc_072_keeps_blanks_except_in_references(api: Api) -> None:
    texts = {"name": " a ", "nameEnable": " b ", "description": "\n c\t", "icon": " d "}
    process = await api.process(
        "lamp",
        **texts,
        inputs=[{"name": " x ", "reference": " y "}],
        sources=[say(" z ")],
    )
    shown = await api.get_process(process)
    assert {name: shown[name] for name in texts} == texts
    assert (shown["inputs"][0]["name"], shown["inputs"][0]["reference"]) == (" x ", "y")
    assert shown["actions"][0]["arguments"][0]["value"] == " z "
