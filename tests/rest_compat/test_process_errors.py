"""Test the errors and the visibility rules of the /process dialect.

The audits are PROC-053 to PROC-065 and PROC-081 to PROC-084 of docs/process-audits.md.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import orjson

from resolvers.errors.catalogue import ErrorKind
from rest_compat.http import Request
from storage.writes.access import revoke_token
from tests.conftest import Gateway, Reply, StartGateway, body_of
from tests.rest_compat.api import UNKNOWN_ID, Api, run, say

ROUTES: list[tuple[str, str, str]] = [
    ("GET", "/process", "process:read"),
    ("POST", "/process", "process:write"),
    ("GET", "/process/{process}", "process:read"),
    ("DELETE", "/process/{process}", "process:write"),
    ("POST", "/process/{process}/actions", "process:write"),
    ("DELETE", "/process/{process}/actions/{action}", "process:write"),
    ("POST", "/process/{process}/inputs", "process:write"),
    ("DELETE", "/process/{process}/inputs/{input}", "process:write"),
    ("POST", "/process/{process}/execute", "process:execute"),
    ("POST", "/process/{process}/profiles", "process:write"),
    ("DELETE", "/process/{process}/profiles", "process:write"),
    ("DELETE", "/process/{process}/profiles/3", "process:write"),
]
"""Every route except GET /espaces, which requires only a token."""
BODIES: dict[str, Any] = {
    "/process": {"reference": "new", "name": "New"},
    "/actions": say(),
    "/inputs": {"name": "new"},
    "/execute": {"inputs": []},
    "/profiles": {"idProfile": 3},
}


def request_body(method: str, path: str) -> Any:
    """Return a valid body for a route, or None."""
    return BODIES.get("/" + path.rpartition("/")[2]) if method == "POST" else None


def fill(path: str, process: object, action: object = 1, input_id: object = 1) -> str:
    """Return the path of a route with these ids."""
    return path.format(process=process, action=action, input=input_id)


# The error catalogue -----------------------------------------------------------------------------


async def test_proc_053_wraps_a_success_in_the_envelope(api: Api) -> None:
    reply = await api.call("POST", "/process", {"reference": "a", "name": "A"})
    process = reply.json["data"]["id"]
    created = b'{"error":false,"code":"ok","message":"","data":{"id":%d}}' % process
    assert reply.body == created
    deleted = await api.call("DELETE", f"/process/{process}")
    assert deleted.body == b'{"error":false,"code":"ok","message":""}'


async def test_proc_054_wraps_a_failure_in_the_envelope(api: Api) -> None:
    for method, path, _ in ROUTES:
        reply = await api.call(method, fill(path, UNKNOWN_ID), b"{", profile=None)
        assert list(reply.json) == ["error", "code", "message"]
        assert reply.json["error"] is True
        assert reply.json["code"] == "unauthenticated"


async def test_proc_055_requires_a_token(api: Api) -> None:
    await api.error(ErrorKind.UNAUTHENTICATED, "GET", "/espaces", profile=None)
    expired = await api.gateway.token("admin", timedelta(hours=-1))
    await api.error(ErrorKind.TOKEN_EXPIRED, "GET", "/espaces", token=expired)
    token = await api.gateway.token()
    head, claims, _ = token.split(".")
    for invalid in ("x", "Bearer", f"{head}.{claims}.", f"{head}.{claims}.AAAA", "Basic eDp5"):
        reply = await api.call("GET", "/process", token=invalid)
        assert (reply.status, reply.json["code"]) == (401, "unauthenticated")
        assert reply.headers["WWW-Authenticate"] == "Bearer"


async def test_proc_056_rejects_a_revoked_token(api: Api) -> None:
    token = await api.gateway.token()
    await api.ok("GET", "/process", token=token)
    claims = api.gateway.services.keys.verify(token)
    async with api.gateway.database.transaction() as transaction:
        rows = await transaction.fetch("SELECT now() + interval '1 hour' AS later")
        await revoke_token(transaction, claims.token_id, rows[0]["later"])
    await api.gateway.run("SELECT pg_sleep(0.2)")  # the gateway receives a notification
    await api.error(ErrorKind.UNAUTHENTICATED, "GET", "/process", token=token)


async def test_proc_057_forbids_requests_without_the_permission(api: Api) -> None:
    process = await api.process(profiles=["guest"])
    before = await api.all_rows()
    await api.profile("nobody", "PROCESS_READ")
    await api.profile("writer", "PROCESS_WRITE")
    for method, path, permission in ROUTES:
        profile = "writer" if permission == "process:read" else "nobody"
        message = await api.error(
            ErrorKind.FORBIDDEN,
            method,
            fill(path, process),
            request_body(method, path),
            profile=profile,
        )
        assert f"needs the permission {permission}" in message
    assert (await api.all_rows()) | {"profile": []} == before | {"profile": []}
    assert await api.ok("GET", "/espaces", profile="writer") == []


async def test_proc_058_checks_in_order(api: Api) -> None:
    path = f"/process/{UNKNOWN_ID}/actions"
    await api.error(ErrorKind.UNAUTHENTICATED, "POST", path, b"{", profile=None)
    await api.error(ErrorKind.FORBIDDEN, "POST", path, b"{", profile="guest")
    await api.invalid("POST", path, b"{")
    await api.invalid("POST", "/process/x/actions", b"{")
    await api.not_found("POST", path, say())


async def test_proc_059_returns_not_found_for_unknown_ids(api: Api) -> None:
    process = await api.process(sources=[say()], inputs=[{"name": "x"}])
    for method, path, _ in ROUTES:
        if "{" in path:
            message = await api.not_found(
                method, fill(path, UNKNOWN_ID), request_body(method, path)
            )
            assert "there is no" in message
    await api.not_found("DELETE", f"/process/{process}/actions/{UNKNOWN_ID}")
    await api.not_found("DELETE", f"/process/{process}/inputs/{UNKNOWN_ID}")


async def test_proc_060_returns_not_found_for_malformed_ids_in_a_path(api: Api) -> None:
    process = await api.process(sources=[say()], inputs=[{"name": "x"}], profiles=["guest"])
    texts = ["0", "-1", "2147483648", "4294967297", "9" * 5000, "1.5", "1e0", "abc", "٣", "%201"]
    texts += ["%00", "1%00", "%FF", "%ED%A0%80", "%zz", "+1", "0x1", "_", "1_0"]
    for text in texts:
        await api.not_found("GET", f"/process/{text}")
        await api.not_found("DELETE", f"/process/{process}/actions/{text}")
        await api.not_found("DELETE", f"/process/{process}/inputs/{text}")
        await api.not_found("DELETE", f"/process/{process}/profiles/{text}")
    for method, path, _ in ROUTES:
        if "{" in path:
            await api.not_found(method, fill(path, "1a"), request_body(method, path))


async def test_proc_061_rejects_malformed_ids_in_a_body(api: Api) -> None:
    process = await api.process()
    malformed: list[Any] = [0, -1, 2**31, 2**63, 1.5, "0", "2147483648", "9" * 5000, True, []]
    for value in malformed:
        path = f"/process/{process}/profiles"
        assert "idProfile: " in await api.invalid("POST", path, {"idProfile": value})
        for source, action in (({"id": value}, "a"), ("process", {"id": value})):
            body = {"source": source, "action": action}
            message = await api.invalid("POST", f"/process/{process}/actions", body)
            assert "expected an id from 1 to 2147483647" in message


async def test_proc_062_reports_a_database_failure(gateway: Gateway) -> None:
    api = Api(gateway)
    process = await api.process()
    await gateway.run("ALTER TABLE process RENAME TO gone")
    for method, path in (("GET", "/process"), ("DELETE", f"/process/{process}")):
        message = await api.error(ErrorKind.DATABASE_UNAVAILABLE, method, path)
        assert message == "the database is out of reach or failed; try again later"


async def test_proc_063_limits_the_rate(start_gateway: StartGateway) -> None:
    async with start_gateway(rate_limit_address="2/hour") as gateway:
        api = Api(gateway)
        replies = [await api.call("GET", "/process") for _ in range(3)]
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert replies[2].json["code"] == "rate_limited"
        assert int(replies[2].headers["Retry-After"]) >= 1
        # The rate limit is checked before the token and the path.
        await api.error(ErrorKind.RATE_LIMITED, "GET", "/process/x/y/z", profile=None)


async def test_proc_064_hides_unexpected_errors(api: Api) -> None:
    async def broken(**_: Any) -> Any:
        raise RuntimeError("SELECT secret FROM /etc/passwd")

    dialect = api.gateway.services.dialects[0]
    request = Request("GET", "/process", {}, broken)
    response = await dialect.respond(request, api.gateway.services.operations, broken)
    assert response.status == 500
    assert orjson.loads(body_of(response)) == {
        "error": True,
        "code": "internal",
        "message": "something went wrong in the gateway",
    }


async def test_proc_065_can_always_respond_with_200(start_gateway: StartGateway) -> None:
    async with start_gateway(
        process_dialect_status="always-200", rate_limit_address="11/hour"
    ) as gateway:
        api = Api(gateway)
        process = await api.process()

        async def code(method: str, path: str, body: Any = None, **options: Any) -> str:
            reply = await api.call(method, path, body, **options)
            assert reply.status == 200
            assert list(reply.json)[:3] == ["error", "code", "message"]
            answer: str = reply.json["code"]
            return answer

        assert await code("GET", f"/process/{process}") == "ok"
        assert await code("GET", "/process", profile=None) == "unauthenticated"
        assert await code("POST", "/process", {}, profile="guest") == "forbidden"
        assert await code("POST", "/process", {}) == "invalid"
        assert await code("POST", "/process", {"reference": "lamp", "name": "x"}) == "conflict"
        assert await code("GET", "/process/0") == "not_found"
        assert await code("GET", "/process/1/2/3/4") == "not_found"
        assert (await api.call("PUT", "/process")).headers["Allow"] == "GET, HEAD, POST"
        assert await code("PUT", "/process") == "invalid"
        # The /processes dialect keeps its HTTP statuses.
        assert (await api.call("GET", "/processes/x")).status == 405
        limited = await api.call("GET", "/process")
        assert (limited.status, limited.json["code"]) == (200, "rate_limited")
        assert int(limited.headers["Retry-After"]) >= 1


# Visibility --------------------------------------------------------------------------------------


async def test_proc_081_shows_a_profile_only_its_processes(api: Api) -> None:
    await api.espace("light")
    hidden = await api.process("hidden", sources=[say()], inputs=[{"name": "x"}])
    process = await api.get_process(hidden)
    action, input_id = process["actions"][0]["id"], process["inputs"][0]["id"]
    await api.profile("kid")
    visible = await api.process("visible", profiles=["kid"])
    assert [p["id"] for p in await api.ok("GET", "/process", profile="kid")] == [visible]
    assert await api.get_process(visible, profile="kid") == await api.get_process(visible)
    assert len(await api.ok("GET", "/espaces", profile="kid")) == 1
    for method, path, _ in ROUTES:
        if "{" in path:
            hidden_path = fill(path, hidden, action, input_id)
            await api.not_found(method, hidden_path, request_body(method, path), profile="kid")
            # The response is the same as for a process that does not exist.
            body = request_body(method, path)
            assert await kid_response(api, method, hidden_path, body) == await kid_response(
                api, method, fill(path, UNKNOWN_ID, UNKNOWN_ID, UNKNOWN_ID), body
            )


async def kid_response(api: Api, method: str, path: str, body: Any) -> tuple[int, Any]:
    """Return the status and body that the profile "kid" gets, with ids replaced by "#"."""
    reply: Reply = await api.call(method, path, body, profile="kid")
    ids = [part for part in path.split("/") if part.isdigit()]
    text = reply.body.decode()
    for number in ids:
        text = text.replace(number, "#")
    return reply.status, text


async def test_proc_082_shows_only_the_reference_of_a_hidden_process(api: Api) -> None:
    await api.profile("kid")
    hidden = await api.process("hidden", name="Secret")
    visible = await api.process("visible", sources=[run("hidden")], profiles=["kid"])
    shown = await api.get_process(visible, profile="kid")
    (action,) = shown["actions"]
    assert (action["source"], action["action"]) == ("process", "hidden")
    assert "Secret" not in json.dumps(shown)
    for form in ("hidden", {"id": hidden}):
        message = await api.invalid("POST", f"/process/{visible}/actions", run(form), profile="kid")
        assert message.startswith("action: there is no ")


async def test_proc_083_does_not_name_hidden_callers(api: Api) -> None:
    await api.profile("kid")
    used = await api.process("used", profiles=["kid"])
    await api.process("hidden", sources=[run("used")])
    message = await api.error(ErrorKind.CONFLICT, "DELETE", f"/process/{used}", profile="kid")
    assert message == "the process is still run by other processes"


async def test_proc_084_authorizes_the_creator(api: Api) -> None:
    await api.profile("kid")
    created = await api.ok("POST", "/process", {"reference": "own", "name": "Own"}, profile="kid")
    shown = await api.get_process(created["id"], profile="kid")
    assert [profile["name"] for profile in shown["profiles"]] == ["kid"]
    ran = await api.ok("POST", f"/process/{created['id']}/execute", profile="kid")
    assert ran["status"] == "succeeded"
