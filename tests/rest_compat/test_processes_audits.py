"""Test the /processes dialect (docs/processes-audits.md)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import orjson
import pytest

from resolvers.errors.catalogue import ErrorKind, GatewayError, conflict
from rest_compat.http import Request
from tests.conftest import Gateway, StartGateway, body_of
from tests.rest_compat.api import BAD_BODIES, UNKNOWN_ID, Api

ID_EXPECTED = "expected a whole number from 1 to 2147483647, got "


async def listed(api: Api, **options: Any) -> list[dict[str, Any]]:
    """Return the processes that GET /processes lists."""
    reply = await api.call("GET", "/processes", **options)
    assert reply.status == 200
    assert reply.json.keys() == {"processes"}
    processes: list[dict[str, Any]] = reply.json["processes"]
    return processes


async def two_processes(api: Api) -> tuple[int, int]:
    """Create two processes. Return their ids."""
    first = await api.process("a", name="A", description="first")
    return first, await api.process("b", name="B", description="second")


# Reading ---------------------------------------------------------------------------------------


async def test_prcs_001_lists_processes(api: Api) -> None:
    assert await listed(api) == []
    first, second = await two_processes(api)
    await api.put(f"/processes/{first}", {"name": "Z"})
    assert await listed(api) == [
        {"id": first, "name": "Z", "comment": "first"},
        {"id": second, "name": "B", "comment": "second"},
    ]


async def test_prcs_002_returns_the_description_as_comment(api: Api) -> None:
    first, _ = await two_processes(api)
    await api.put(f"/processes/{first}", {"comment": "new"})
    assert (await api.get_process(first))["description"] == "new"


async def test_prcs_003_reads_and_writes_with_one_statement(gateway: Gateway) -> None:
    api, database, token = Api(gateway), gateway.database, await gateway.token()

    async def statements(method: str, body: Any = None) -> int:
        before = database.statements
        assert (await api.call(method, "/processes", body, token=token)).status == 200
        return database.statements - before

    first = await api.process("a")
    body = {"processes": [{"id": first, "name": "x"}]}
    few = (await statements("GET"), await statements("PUT", body))
    await api.gateway.run(
        "INSERT INTO process (reference, name) SELECT 'p' || n, 'p' FROM generate_series(1, 999) n"
    )
    body = {"processes": [{"id": row["id"], "name": "y"} for row in await listed(api)]}
    assert (await statements("GET"), await statements("PUT", body)) == few == (1, 1)
    assert {row["name"] for row in await listed(api)} == {"y"}
    # Updating one process locks and updates it, and reads nothing that is not shown.
    before = database.statements
    reply = await api.call("PUT", f"/processes/{first}", {"name": "z"}, token=token)
    assert (reply.status, database.statements - before) == (200, 2)


# PUT /processes --------------------------------------------------------------------------------


async def test_prcs_004_updates_many(api: Api) -> None:
    first, second = await two_processes(api)
    rows = [
        {"id": second, "name": " B2 ", "comment": "Лампа\n"},
        {"id": first, "name": "A2", "comment": ""},
    ]
    await api.put("/processes", {"processes": rows})
    assert await listed(api) == [rows[1], rows[0]]


async def test_prcs_005_accepts_the_response_of_get(api: Api) -> None:
    await two_processes(api)
    before = (await api.call("GET", "/processes")).json
    await api.put("/processes", before)
    assert (await api.call("GET", "/processes")).json == before


async def test_prcs_006_keeps_omitted_values(api: Api) -> None:
    first, second = await two_processes(api)
    rows = [{"id": first, "name": "A2"}, {"id": second, "name": None, "comment": "new", "icon": 3}]
    await api.put("/processes", {"processes": rows})
    assert await listed(api) == [
        {"id": first, "name": "A2", "comment": "first"},
        {"id": second, "name": "B", "comment": "new"},
    ]
    await api.put("/processes", {"processes": []})


async def test_prcs_007_rejects_a_duplicate_id(api: Api) -> None:
    first, second = await two_processes(api)
    ids = [first, second, first, second, first]
    body = {"processes": [{"id": number, "name": "x"} for number in ids]}
    assert await api.details(1001, "PUT", "/processes", body) == [
        (["processes", 2, "id"], f"the id {first} is given twice"),
        (["processes", 3, "id"], f"the id {second} is given twice"),
        (["processes", 4, "id"], f"the id {first} is given twice"),
    ]


async def test_prcs_008_rejects_an_unknown_id(api: Api) -> None:
    first, _ = await two_processes(api)
    ids = [first, UNKNOWN_ID, 12345]
    body = {"processes": [{"id": number, "name": "x"} for number in ids]}
    assert await api.details(1001, "PUT", "/processes", body) == [
        (["processes", 1, "id"], f"there is no process with the id {UNKNOWN_ID}"),
        (["processes", 2, "id"], "there is no process with the id 12345"),
    ]


async def test_prcs_009_rejects_a_malformed_id(api: Api) -> None:
    invalid: list[Any] = [0, 0.0, -1, 2**31, 2**31 + 0.0, 2**63, 1.5, 1e300, "1", True, []]
    for value in invalid:
        body: Any = {"processes": [{"id": value, "name": "x"}]}
        ((path, message),) = await api.details(1001, "PUT", "/processes", body)
        assert path == ["processes", 0, "id"]
        assert message.startswith(ID_EXPECTED)
    for body in ({"processes": [{"name": "x"}]}, {"processes": [{"id": None, "name": "x"}]}):
        details = await api.details(1001, "PUT", "/processes", body)
        assert details == [(["processes", 0, "id"], "is required")]


async def test_an_id_may_be_written_with_a_fraction_of_zero(api: Api) -> None:
    first, second = await two_processes(api)
    changes = [{"id": float(first), "name": "x"}, {"id": second, "name": "y"}]
    await api.put("/processes", {"processes": changes})
    await api.put(f"/processes/{first}", {"id": float(first), "comment": "z"})
    assert {row["name"] for row in await listed(api)} == {"x", "y"}
    body = {"processes": [{"id": first, "name": "a"}, {"id": float(first), "name": "b"}]}
    ((path, _),) = await api.details(1001, "PUT", "/processes", body)
    assert path == ["processes", 1, "id"]


async def test_prcs_010_reports_every_problem(api: Api) -> None:
    first, _ = await two_processes(api)
    rows = [
        {"id": first, "name": ""},
        {"id": first, "name": "x" * 256, "comment": "y" * 4001},
        {"id": first},
        {"id": first, "name": 5, "comment": ["c"]},
        7,
    ]
    assert await api.details(1001, "PUT", "/processes", {"processes": rows}) == [
        (["processes", 0, "name"], "must not be empty"),
        (["processes", 1, "name"], "expected at most 255 characters, got 256"),
        (["processes", 1, "comment"], "expected at most 4,000 characters, got 4,001"),
        (["processes", 2], "expected name, comment or both"),
        (["processes", 3, "name"], "expected text, got 5"),
        (["processes", 3, "comment"], "expected text, got a list"),
        (["processes", 4], "expected an object, got 7"),
    ]
    details = await api.details(1001, "PUT", "/processes", {"processes": [7] * 10_000})
    assert details[19:] == [
        (["processes", 19], "expected an object, got 7"),
        ([], "and 9,980 more"),
    ]


async def test_prcs_011_requires_a_list(api: Api) -> None:
    for body in ({}, {"processes": None}):
        assert await api.details(1001, "PUT", "/processes", body) == [
            (["processes"], "is required")
        ]
    invalid: list[Any] = [{"1": {}}, "x", 5]
    for value in invalid:
        ((path, message),) = await api.details(1001, "PUT", "/processes", {"processes": value})
        assert path == ["processes"]
        assert message.startswith("expected a list, got ")


# The test client warns about its own event loop.
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
async def test_prcs_012_accepts_a_long_list(api: Api) -> None:
    await api.gateway.run(
        "INSERT INTO process (reference, name)"
        " SELECT 'p' || n, 'p' FROM generate_series(1, 10000) n"
    )
    rows = [
        {"id": row["id"], "name": f"P{row['id']}", "comment": "c" * 200}
        for row in await listed(api)
    ]
    assert len(orjson.dumps(rows)) > 2 * 1024 * 1024
    await api.put("/processes", {"processes": rows})
    assert await listed(api) == rows
    rows[9999]["id"] = UNKNOWN_ID
    body = {"processes": rows}
    ((path, _),) = await api.details(1001, "PUT", "/processes", body)
    assert path == ["processes", 9999, "id"]


async def test_prcs_013_rejects_a_body_over_its_limit(start_gateway: StartGateway) -> None:
    async with start_gateway(max_body_bytes=1000, max_bulk_body_bytes=2000) as gateway:
        api = Api(gateway)
        first = await api.process("a")
        row = {"id": first, "name": "x"}
        await api.put("/processes", {"processes": [row], "ignored": "x" * 1500})
        body = {"processes": [row], "ignored": "x" * 2000}
        details = await api.details(1001, "PUT", "/processes", body)
        size = len(json.dumps(body))
        assert details == [([], f"the body is longer than 2,000 bytes: it has {size:,}")]
        body = {"name": "y", "ignored": "x" * 1000}
        details = await api.details(1001, "PUT", f"/processes/{first}", body)
        size = len(json.dumps(body))
        assert details == [([], f"the body is longer than 1,000 bytes: it has {size:,}")]


# PUT /processes/{id} ---------------------------------------------------------------------------


async def test_prcs_014_updates_one(api: Api) -> None:
    first, second = await two_processes(api)
    await api.put(f"/processes/{first}", {"name": "A2", "comment": "new", "unknown": 1})
    await api.put(f"/processes/{second}", {"name": "B2", "comment": None})
    assert await listed(api) == [
        {"id": first, "name": "A2", "comment": "new"},
        {"id": second, "name": "B2", "comment": "second"},
    ]


async def test_prcs_015_requires_name_or_comment(api: Api) -> None:
    first, _ = await two_processes(api)
    for body in ({}, {"id": first}, {"name": None}, {"title": "x"}):
        details = await api.details(1001, "PUT", f"/processes/{first}", body)
        assert details == [([], "expected name, comment or both")]


async def test_prcs_016_requires_the_id_of_the_path(api: Api) -> None:
    first, second = await two_processes(api)
    await api.put(f"/processes/{first}", {"id": first, "name": "x"})
    body = {"id": second, "name": "y"}
    details = await api.details(1001, "PUT", f"/processes/{first}", body)
    assert details == [(["id"], f"expected {first} as in the path, got {second}")]
    for value in (0, 2**31, str(first), True):
        body = {"id": value, "name": "y"}
        ((path, message),) = await api.details(1001, "PUT", f"/processes/{first}", body)
        assert path == ["id"]
        assert message.startswith(ID_EXPECTED)


async def test_prcs_017_returns_1005_for_an_unknown_id(api: Api) -> None:
    for text in (str(UNKNOWN_ID), "0", "-1", str(2**31), "9" * 5000, "abc", "1.0", "%FF", "%00"):
        ((path, _),) = await api.details(1005, "PUT", f"/processes/{text}", {"name": "x"})
        assert path == []


async def test_prcs_018_rejects_invalid_texts(api: Api) -> None:
    first, _ = await two_processes(api)
    body = {"name": "", "comment": 5}
    assert await api.details(1001, "PUT", f"/processes/{first}", body) == [
        (["name"], "must not be empty"),
        (["comment"], "expected text, got 5"),
    ]


# Errors ----------------------------------------------------------------------------------------


async def test_prcs_019_requires_a_token(api: Api) -> None:
    first, _ = await two_processes(api)
    expired = await api.gateway.token("admin", timedelta(hours=-1))
    for method, path in (("GET", ""), ("PUT", ""), ("PUT", f"/{first}")):
        await api.details(2004, method, f"/processes{path}", profile=None)
        await api.details(2004, method, f"/processes{path}", token="Bearer x.y.z")
        await api.details(2002, method, f"/processes{path}", token=expired)


async def test_prcs_020_forbids_requests_without_the_permission(api: Api) -> None:
    first, _ = await two_processes(api)
    await api.profile("blind", "PROCESS_WRITE")
    body = {"name": "x"}
    ((_, message),) = await api.details(3001, "PUT", f"/processes/{first}", body, profile="guest")
    assert "needs the permission process:write" in message
    await api.details(3001, "PUT", "/processes", {"processes": []}, profile="occupant")
    await api.details(3001, "GET", "/processes", profile="blind")


async def test_prcs_021_reports_a_database_failure(gateway: Gateway) -> None:
    api = Api(gateway)
    first, _ = await two_processes(api)
    await gateway.run("ALTER TABLE process RENAME TO gone")
    for method, path, body in (
        ("GET", "/processes", None),
        ("PUT", "/processes", {"processes": [{"id": first, "name": "x"}]}),
        ("PUT", f"/processes/{first}", {"name": "x"}),
    ):
        reply = await api.call(method, path, body)
        message = "the database is out of reach or failed; try again later"
        assert (reply.status, reply.json) == (
            503,
            {
                "code": 1006,
                "message": "Error access to database",
                "details": [{"path": [], "message": message}],
            },
        )


async def test_prcs_022_limits_the_rate(start_gateway: StartGateway) -> None:
    async with start_gateway(rate_limit_address="1/hour") as gateway:
        api = Api(gateway)
        assert await listed(api) == []
        reply = await api.call("PUT", "/processes", b"{", profile=None)
        assert (reply.status, reply.json["code"]) == (429, 6001)
        assert reply.json["message"] == "Too many requests. Try again later"
        assert int(reply.headers["Retry-After"]) >= 1


async def test_prcs_023_has_a_code_and_message_for_every_error(api: Api) -> None:
    async def broken(**_: Any) -> Any:
        raise RuntimeError("SELECT secret")

    dialect = api.gateway.services.dialects[1]
    request = Request("GET", "/processes", {}, broken)
    response = await dialect.respond(request, api.gateway.services.operations, broken)
    assert response.status == 500
    assert orjson.loads(body_of(response)) == {
        "code": 1006,
        "message": "Error access to database",
        "details": [{"path": [], "message": "something went wrong in the gateway"}],
    }
    assert dialect.error_response(conflict("x")).status == 400
    failed = dialect.error_response(GatewayError(ErrorKind.EXECUTION_FAILED, "x"))
    assert orjson.loads(body_of(failed))["code"] == 1006


async def test_prcs_024_checks_in_order(api: Api) -> None:
    path = f"/processes/{UNKNOWN_ID}"
    await api.details(2004, "PUT", path, b"{", profile=None)
    await api.details(3001, "PUT", path, b"{", profile="guest")
    await api.details(1001, "PUT", path, b"{")
    await api.details(1001, "PUT", "/processes/x", {})
    await api.details(1005, "PUT", path, {"name": "x"})


async def test_prcs_025_rejects_invalid_bodies(api: Api) -> None:
    first, _ = await two_processes(api)
    for path in ("/processes", f"/processes/{first}"):
        for name, (body, message) in BAD_BODIES.items():
            if name == "long_text" and path == "/processes":
                continue
            details = await api.details(1001, "PUT", path, body)
            assert message in details[0][1], name
        for empty in (b"", b" ", None):
            ((problem_path, message),) = await api.details(1001, "PUT", path, empty)
            assert problem_path == []
            assert message.startswith("a JSON body is required: an object")
    bad = b'{"processes": [{"id": 1, "name": "a"}, {"id": 2, "comment": "\\u0000"}]}'
    ((problem_path, _),) = await api.details(1001, "PUT", "/processes", bad)
    assert problem_path == ["processes", 1, "comment"]


# HTTP and visibility ---------------------------------------------------------------------------


async def test_prcs_026_follows_http(api: Api) -> None:
    first, _ = await two_processes(api)
    token = await api.gateway.token()
    for header in (token, f"Bearer {token}"):
        assert len(await listed(api, token=header)) == 2
    get, slash = await api.call("GET", "/processes"), await api.call("GET", "/processes/")
    assert get.body == slash.body
    head = await api.call("HEAD", "/processes")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(get.body)
    await api.put(f"/processes/{first}/", {"name": "x"}, headers={"Content-Type": "text/plain"})
    for reply in (get, head, await api.call("PUT", "/processes", b"{")):
        assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
        kept = "no-store" if reply.status == 400 else "no-cache"
        assert reply.headers["Cache-Control"] == f"private, {kept}"
    done = await api.call("PUT", f"/processes/{first}", {"name": "x"})
    assert done.headers["Cache-Control"] == "private, no-store"
    assert done.headers["Content-Length"] == "0"


async def test_prcs_027_lists_the_methods_of_a_path(api: Api) -> None:
    for path, methods in (("/processes", "GET, HEAD, PUT"), ("/processes/1", "PUT")):
        reply = await api.call("DELETE", path)
        assert (reply.status, reply.json["code"]) == (405, 1001)
        assert reply.headers["Allow"] == methods


async def test_prcs_028_returns_1005_for_unknown_paths(api: Api) -> None:
    for path in ("/processes/1/actions", "/processes//"):
        details = await api.details(1005, "GET", path)
        assert details == [([], "there is no such path in this API")]


async def test_prcs_029_is_also_mounted_at_the_base_path(start_gateway: StartGateway) -> None:
    async with start_gateway(rest_base_path="/api/v1") as gateway:
        api = Api(gateway)
        first, _ = await two_processes(api)
        await api.put(f"/api/v1/processes/{first}", {"name": "x"})
        reply = await api.call("GET", "/api/v1/processes")
        assert reply.json["processes"] == await listed(api)


async def test_prcs_030_shows_a_profile_only_its_processes(api: Api) -> None:
    await api.profile("kid")
    hidden = await api.process("hidden")
    visible = await api.process("visible", profiles=["kid"])
    assert [row["id"] for row in await listed(api, profile="kid")] == [visible]
    await api.put(f"/processes/{visible}", {"comment": "mine"}, profile="kid")
    unknown = await api.details(
        1005, "PUT", f"/processes/{UNKNOWN_ID}", {"name": "x"}, profile="kid"
    )
    details = await api.details(1005, "PUT", f"/processes/{hidden}", {"name": "x"}, profile="kid")
    assert details == unknown
    body = {"processes": [{"id": visible, "name": "x"}, {"id": hidden, "name": "x"}]}
    assert await api.details(1001, "PUT", "/processes", body, profile="kid") == [
        (["processes", 1, "id"], f"there is no process with the id {hidden}")
    ]


async def test_prcs_031_answers_304_as_long_as_the_answer_is_the_same(api: Api) -> None:
    first, _ = await two_processes(api)
    for changed in (False, True, False):
        if changed:
            await api.put(f"/processes/{first}", {"comment": "x"})
        reply = await api.call("GET", "/processes")
        tag = reply.headers["Etag"]
        for method in ("GET", "HEAD"):
            same = await api.call(method, "/processes", headers={"If-None-Match": tag})
            assert (same.status, same.body, same.headers["Etag"]) == (304, b"", tag)
    await api.put("/processes", {"processes": [{"id": first, "name": "y"}]})
    other = await api.call("GET", "/processes", headers={"If-None-Match": tag})
    assert other.status == 200
    assert other.headers["Etag"] != tag
