"""Test the HTTP behavior of the /process dialect (docs/process-audits.md, PROC-073 to PROC-080)."""

from __future__ import annotations

from typing import Any

from tests.conftest import StartGateway
from tests.rest_compat.api import Api


async def test_proc_073_responds_with_private_json(api: Api) -> None:
    process = await api.process()
    requests: list[tuple[str, str, Any]] = [
        ("GET", "/espaces", None),
        ("GET", f"/process/{process}", None),
        ("POST", f"/process/{process}/execute", {}),
        ("DELETE", f"/process/{process}", None),
        ("GET", "/process/0", None),
        ("GET", "/process/a/b/c/d", None),
        ("PATCH", "/process", None),
        ("POST", "/process", b"{"),
    ]
    for method, path, body in requests:
        reply = await api.call(method, path, body)
        assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
        kept = "no-cache" if (method, reply.status) == ("GET", 200) else "no-store"
        assert reply.headers["Cache-Control"] == f"private, {kept}"


async def test_proc_074_reads_json_with_any_content_type(api: Api) -> None:
    for index, type_ in enumerate(("text/plain", "application/x-www-form-urlencoded", "x/y; z=1")):
        body = {"reference": f"p{index}", "name": "Lumière"}
        await api.ok("POST", "/process", body, headers={"Content-Type": type_})


async def test_proc_075_accepts_a_trailing_slash(api: Api) -> None:
    process = await api.process(inputs=[{"name": "x"}])
    assert await api.ok("GET", "/espaces/") == []
    assert len(await api.ok("GET", "/process/")) == 1
    assert await api.ok("GET", f"/process/{process}/") == await api.get_process(process)
    await api.ok("DELETE", f"/process/{process}/inputs/x/")
    await api.not_found("GET", f"/process/{process}//")
    await api.not_found("GET", "/process//")


async def test_proc_076_lists_the_methods_of_a_path(api: Api) -> None:
    allowed = {
        "/espaces": "GET, HEAD",
        "/process": "GET, HEAD, POST",
        "/process/1": "GET, HEAD, DELETE",
        "/process/1/actions": "POST",
        "/process/1/actions/1": "DELETE",
        "/process/1/inputs": "POST",
        "/process/1/inputs/1": "DELETE",
        "/process/1/execute": "POST",
        "/process/1/profiles": "POST, DELETE",
        "/process/1/profiles/1": "DELETE",
    }
    for path, methods in allowed.items():
        reply = await api.call("PATCH", path)
        assert (reply.status, reply.json["code"]) == (405, "invalid")
        assert reply.headers["Allow"] == methods


async def test_proc_077_returns_not_found_for_unknown_paths(api: Api) -> None:
    for path in (
        "/process/1/nothing",
        "/espaces/1",
        "/process/1/actions/1/2",
        "/process/1/Actions",
    ):
        for method in ("GET", "POST"):
            assert await api.not_found(method, path) == "there is no such path in this API"


async def test_proc_078_responds_to_head_like_get(api: Api) -> None:
    process = await api.process()
    for path in ("/espaces", "/process", f"/process/{process}", "/process/0"):
        got, head = await api.call("GET", path), await api.call("HEAD", path)
        assert (head.status, head.body) == (got.status, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        assert int(head.headers["Content-Length"]) == len(got.body)


async def test_proc_079_accepts_a_token_bare_or_as_bearer(api: Api) -> None:
    token = await api.gateway.token()
    for header in (token, f"Bearer {token}", f"bearer {token}"):
        assert await api.ok("GET", "/process", token=header) == []


async def test_proc_080_is_also_mounted_at_the_base_path(start_gateway: StartGateway) -> None:
    async with start_gateway(rest_base_path="/api/v1") as gateway:
        api = Api(gateway)
        process = await api.process()
        assert await api.ok("GET", f"/api/v1/process/{process}") == await api.get_process(process)
        assert await api.ok("GET", "/api/v1/espaces/") == []
        await api.not_found("GET", "/api/v1/process/0")


async def test_proc_085_answers_304_as_long_as_the_answer_is_the_same(api: Api) -> None:
    process = await api.process(name="Lamp")
    tags = {}
    for path in ("/espaces", "/process", f"/process/{process}"):
        reply = await api.call("GET", path)
        tag = tags[path] = reply.headers["Etag"]
        for method in ("GET", "HEAD"):
            for sent in (tag, f"W/{tag}", f'"another", {tag}', "*"):
                same = await api.call(method, path, headers={"If-None-Match": sent})
                assert (same.status, same.body) == (304, b"")
                assert same.headers["Etag"] == tag
                assert same.headers["Cache-Control"] == "private, no-cache"
                assert "Content-Type" not in same.headers
            for sent in ('"another"', tag.strip('"'), "", '"'):
                full = await api.call(method, path, headers={"If-None-Match": sent})
                assert (full.status, full.headers["Etag"]) == (200, tag)
    await api.ok("POST", f"/process/{process}/inputs", {"name": "Level"})
    for path, tag in tags.items():
        reply = await api.call("GET", path, headers={"If-None-Match": tag})
        assert reply.status == (304 if path == "/espaces" else 200)
        assert (reply.headers["Etag"] == tag) is (path == "/espaces")
    missing = await api.call("GET", "/process/0", headers={"If-None-Match": "*"})
    assert missing.status == 404
    assert "Etag" not in missing.headers
