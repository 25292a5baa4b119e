"""``ETag`` and ``If-Match`` of processes in both dialects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resolvers.errors.catalogue import ErrorKind
from tests.conftest import Reply
from tests.rest_compat.api import UNKNOWN_ID, Api, run

CHANGED = "the process has another version; it was changed meanwhile, so read it again"
CONFLICT = {
    "code": 1001,
    "message": "Incorrect data",
    "details": [{"path": ["If-Match"], "message": CHANGED}],
}
TAG = '"' + "0" * 32 + '"'
"""The tag of no process."""


async def tag(api: Api, number: int, **options: Any) -> str:
    reply = await api.call("GET", f"/process/{number}", **options)
    assert reply.status == 200
    return header(reply, "ETag")


def header(reply: Reply, name: str) -> str:
    (value,) = (value for key, value in reply.headers.items() if key.lower() == name.lower())
    return value


async def put(api: Api, number: int, if_match: str | None, name: str = "changed") -> Reply:
    headers = {} if if_match is None else {"If-Match": if_match}
    return await api.call("PUT", f"/processes/{number}", {"name": name}, headers=headers)


async def test_proc_086_the_tag_of_get_begins_with_the_version(api: Api) -> None:
    number = await api.process()
    query = "query($n: Int) { process(databaseId: $n) { version } }"
    data = await api.gateway.data(query, {"n": number})
    for method, profile in (("GET", "admin"), ("HEAD", "admin"), ("GET", "guest")):
        reply = await api.call(method, f"/process/{number}", profile=profile)
        version, _, _ = header(reply, "ETag").strip('"').partition("-")
        assert version == data["process"]["version"]


async def test_only_the_answer_that_shows_one_process_has_its_tag(api: Api) -> None:
    await api.process()
    replies = [
        await api.call("GET", "/process/2"),  # there is none
        await put(api, 1, None),
        await api.call("DELETE", "/process/1"),
    ]
    assert not any("etag" in map(str.lower, reply.headers) for reply in replies)


async def test_a_client_reads_changes_and_deletes_a_process(api: Api) -> None:
    number = await api.process()
    first = await tag(api, number)
    reply = await put(api, number, first)
    assert (reply.status, reply.body) == (200, b"")
    second = await tag(api, number)
    assert second != first
    await api.ok("DELETE", f"/process/{number}", headers={"If-Match": second})
    await api.not_found("GET", f"/process/{number}")


async def test_one_tag_serves_both_conditions(api: Api) -> None:
    number, other = await api.process(), await api.process("other")
    read = await tag(api, number)
    # Another process does not change the tag.
    await api.put(f"/processes/{other}", {"name": "changed"})
    reply = await api.call("GET", f"/process/{number}", headers={"If-None-Match": read})
    assert (reply.status, reply.body, header(reply, "ETag")) == (304, b"", read)
    assert (await put(api, number, read)).status == 200
    reply = await api.call("GET", f"/process/{number}", headers={"If-None-Match": read})
    assert reply.status == 200
    assert header(reply, "ETag") != read


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_the_tag_of_a_compressed_answer_is_accepted(api: Api, coding: str) -> None:
    number = await api.process(description="long " * 500)
    accepted = {"Accept-Encoding": coding}
    read = await tag(api, number, headers=accepted)
    assert read.endswith(f'-{coding}"')
    path, headers = f"/process/{number}", {"If-None-Match": read, **accepted}
    reply = await api.call("GET", path, headers=headers)
    assert (reply.status, reply.body, header(reply, "ETag")) == (304, b"", read)
    assert (await put(api, number, read)).status == 200
    assert (await put(api, number, read)).status == 400


async def outdated(api: Api) -> tuple[int, str]:
    """Return a process and a tag that it had before it was changed."""
    number = await api.process()
    read = await tag(api, number)
    await api.ok("POST", f"/process/{number}/inputs", {"name": "Level", "type": "number"})
    return number, read


async def test_proc_087_what_changed_meanwhile_is_not_deleted(api: Api) -> None:
    number, read = await outdated(api)
    before = await api.all_rows()
    message = await api.error(
        ErrorKind.CONFLICT, "DELETE", f"/process/{number}", headers={"If-Match": read}
    )
    assert message == CHANGED
    assert await api.all_rows() == before


async def test_prcs_032_what_changed_meanwhile_is_not_updated(api: Api) -> None:
    number, read = await outdated(api)
    before = await api.all_rows()
    reply = await put(api, number, read)
    assert (reply.status, reply.json) == (400, CONFLICT)
    assert await api.all_rows() == before


async def test_of_two_clients_with_the_same_tag_one_succeeds(api: Api) -> None:
    number = await api.process()
    for _ in range(10):
        read = await tag(api, number)
        replies = await asyncio.gather(
            *(put(api, number, read, f"{read} {client}") for client in range(4))
        )
        assert sorted(reply.status for reply in replies) == [200, 400, 400, 400]


async def test_a_process_that_is_still_run_is_not_deleted_whatever_the_tag(api: Api) -> None:
    number = await api.process()
    await api.process("all", sources=[run("lamp")])
    read = await tag(api, number)
    for if_match in (read, f"{TAG}, {read}", f"{read}, {TAG}", "*"):
        headers = {"If-Match": if_match}
        message = await api.error(
            ErrorKind.CONFLICT, "DELETE", f"/process/{number}", headers=headers
        )
        assert message == 'the process is still run by "all"'


@pytest.mark.parametrize(
    "form",
    [
        "*",
        " * ",
        "{tag}",
        "  {tag}\t",
        f"{TAG}, {{tag}}",
        f"{{tag}},{TAG}",
        ",, {tag} ,",
        '"", "a,b", {tag}',
        'W/"x", {tag}',
        "{tag}, {tag}",
        '"' + "é" * 40 + '", {tag}',
        # What tells forms of the answer apart, as proxies that compress answers add it.
        "{gzip}",
    ],
)
async def test_a_tag_of_the_list_is_enough(api: Api, form: str) -> None:
    number = await api.process()
    read = await tag(api, number)
    if_match = form.format(tag=read, gzip=f'{read[:-1]}-gzip"')
    assert (await put(api, number, if_match)).status == 200


@pytest.mark.parametrize(
    "form",
    [
        TAG,
        "W/{tag}",  # weak tags never match
        f"{TAG}, W/{{tag}}",
        '"{upper}"',
        '""',
        '"x{bare}"',
        'W/"{bare}-gzip"',
        '"*"',
        'W/"*"',
    ],
)
async def test_other_tags_are_a_conflict(api: Api, form: str) -> None:
    number = await api.process()
    read = await tag(api, number)
    bare = read.strip('"')
    # A version without letters has no upper case.
    upper = bare.upper() if bare.upper() != bare else "A" + bare[1:]
    reply = await put(api, number, form.format(tag=read, bare=bare, upper=upper))
    assert (reply.status, reply.json) == (400, CONFLICT)


async def test_several_headers_are_one_list(api: Api) -> None:
    number = await api.process()
    read = await tag(api, number)
    token = await api.gateway.token()
    request = (
        f"PUT /processes/{number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: {token}\r\nIf-Match: {TAG}\r\nIf-Match: {read}\r\n"
        'Content-Length: 12\r\n\r\n{"name":"n"}'
    )
    host, _, port = api.gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    writer.close()


malformed_headers = pytest.mark.parametrize(
    "if_match",
    [
        "",
        " ",
        ",",
        "0" * 32,
        "*, *",
        f"*, {TAG}",
        f"{TAG}, *",
        f"{TAG} {TAG}",
        f"w/{TAG}",
        f"W/ {TAG}",
        "'x'",
        '"',
        '"x',
        'x"',
        '"a b"',
        '"a"b"',
        f"{TAG};",
    ],
)


EXPECTED = 'expected * or entity tags such as "0123abcd", separated by commas, got "'


@malformed_headers
async def test_proc_088_a_malformed_header_is_invalid(api: Api, if_match: str) -> None:
    number = await api.process()
    headers = {"If-Match": if_match}
    message = await api.invalid("DELETE", f"/process/{number}", headers=headers)
    assert message.startswith(f"If-Match: {EXPECTED}")


@malformed_headers
async def test_prcs_033_a_malformed_header_is_incorrect_data(api: Api, if_match: str) -> None:
    number = await api.process()
    headers = {"If-Match": if_match}
    ((path, message),) = await api.details(
        1001, "PUT", f"/processes/{number}", {"name": "n"}, headers=headers
    )
    assert path == ["If-Match"]
    assert message.startswith(EXPECTED)


async def test_at_most_ten_tags_are_accepted(api: Api) -> None:
    number = await api.process()
    read = await tag(api, number)
    tags = [f'"{other}"' for other in range(10)]
    assert (await put(api, number, ", ".join([*tags[:9], read]))).status == 200
    message = await api.invalid(
        "DELETE", f"/process/{number}", headers={"If-Match": ", ".join([*tags, TAG])}
    )
    assert message == "If-Match: expected at most 10 entity tags, got 11"


async def test_the_checks_keep_their_order(api: Api) -> None:
    number = await api.process()
    malformed, other = {"If-Match": "x"}, {"If-Match": TAG}
    await api.error(
        ErrorKind.FORBIDDEN, "DELETE", f"/process/{number}", profile="guest", headers=malformed
    )
    await api.invalid("DELETE", f"/process/{UNKNOWN_ID}", headers=malformed)
    await api.not_found("DELETE", f"/process/{UNKNOWN_ID}", headers=other)
    await api.not_found("DELETE", "/process/x", headers=other)


async def test_other_routes_ignore_the_header(api: Api) -> None:
    number = await api.process()
    headers = {"If-Match": "malformed"}
    await api.ok("GET", f"/process/{number}", headers=headers)
    body = {"name": "Level", "type": "number"}
    await api.ok("POST", f"/process/{number}/inputs", body, headers=headers)
    reply = await api.call(
        "PUT", "/processes", {"processes": [{"id": number, "name": "n"}]}, headers=headers
    )
    assert reply.status == 200
