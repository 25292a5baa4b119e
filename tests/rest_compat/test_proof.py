"""Prove the reads of the dialects against a plain Python implementation.

Random requests over real HTTP, with random databases and profiles, must return exactly what
``tests.reference.dialects`` builds from the rows.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from urllib.parse import quote

from hypothesis import Phase, given, note
from hypothesis import strategies as st

from tests.proof import AGAIN, WORLDS, World, Worlds, proof, read_json, written
from tests.reference.dialects import ROUTES, TOKENS, answer, matched
from tests.reference.model import global_id
from tests.reference.rows import Row
from tests.reference.sight import Sight
from tests.reference.worlds import NAMES, PROFILES

HEADERS = ("Content-Type", "Cache-Control", "Allow", "WWW-Authenticate")
"""The headers that are compared. The others are the same in every response."""

METHODS = ("GET",) * 24 + ("HEAD",) * 3 + ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")

# Path segments that resemble ids. Placeholders in braces are filled from a process of the database.
_SIMILAR = (
    *("0{id}", "000000000{id}", "00000000000{id}", "+{id}", "%2B{id}", "-{id}", "{id}.0", "{id}e0"),
    *("%20{id}", "{id}%20", "{id}%0A", "{id}%00", "{id}%2F2", "{id},1", "0x{id}", "{id}_0"),
    *("{coded}", "{wide}", "{arabic}", "{opaque}"),
)
_MALFORMED = ("%00", "%FF", "%C3", "%ED%A0%80", "%zz", "%", "%2", "%2E", "%2e%2E", "@", "~", "a:b")
_NUMBERS = ("0", "1", "2147483647", "2147483648", "4294967297", "1" + "0" * 30)
_IDS = st.one_of(
    *[st.just("{id}")] * 4,
    st.just("{reference}"),
    st.sampled_from(NAMES).map(lambda name: quote(name, safe="")),
    st.sampled_from(_SIMILAR),
    st.sampled_from(_MALFORMED + _NUMBERS),
)


def fill(path: str, process: Row) -> str:
    """Return a path with its placeholders filled from a process."""
    number = str(process["id"])
    values = {
        "id": number,
        "reference": process["reference"],
        "wide": "".join(chr(0xFF10 + int(digit)) for digit in number),
        "arabic": "".join(chr(0x660 + int(digit)) for digit in number),
        "opaque": global_id("Process", process["id"]),
    }
    path = path.replace("{coded}", "".join(f"%{ord(digit):X}" for digit in number))
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    return path


_READS = ("/espaces", "/process", "/processes", *["/process/{idProcess}"] * 4)
# Below the prefixes of the dialects. Other paths are not handled by them.
_UNKNOWN = ("/espaces/1", "/process/1/Actions", "/processes/1/2", "/process//1")
_ENDS = ("", "", "", "/", "?", "?idProfile=1", "/?a=%FF&a")
_WRONG_ENDS = ("//", "/%2F", "/.")


@st.composite
def paths(draw: st.DrawFn) -> str:
    """Draw a path with placeholders for values from the database."""
    usual = draw(st.integers(0, 3)) < 3
    route = draw(st.sampled_from(_READS if usual else [*ROUTES, *_UNKNOWN]))
    parts = [draw(_IDS) if part.startswith("{") else part for part in route.split("/")]
    parts[-1] += draw(st.sampled_from(_ENDS if usual else _ENDS + _WRONG_ENDS))
    return "/".join(parts)


@proof(Phase.generate, Phase.shrink)
@given(
    number=st.integers(0, WORLDS - 1),
    index=st.integers(0, 8),
    profile=st.sampled_from([*PROFILES, "guest"]),
    token=st.sampled_from(["good"] * 20 + list(TOKENS)),
    scheme=st.sampled_from(["", "Bearer "]),
    method=st.sampled_from(METHODS),
    path=paths(),
)
async def test_routes_return_what_the_reference_returns(
    worlds: Worlds,
    number: int,
    index: int,
    profile: str,
    token: str,
    scheme: str,
    method: str,
    path: str,
) -> None:
    world = worlds[number]
    processes = world.rows["process"] or [{"id": 1, "reference": "a"}]
    path = fill(path, processes[index % len(processes)])
    if method in matched(path.partition("?")[0]).methods and method not in ("GET", "HEAD"):
        method = "GET"  # the test must not write
    note(f"{AGAIN}\ndatabase {number}, requested by {profile}: {method} {path} ({token} token)")
    await compare(world, profile, method, path, token, scheme)


async def test_every_process_is_shown_to_every_profile_that_can_see_it(worlds: Worlds) -> None:
    for world in worlds:
        paths = [f"/process/{process['id']}" for process in world.rows["process"]]
        for profile in world.viewers:
            for path in ("/espaces", "/process", "/processes", *paths):
                await compare(world, profile, "GET", path)


async def compare(
    world: World,
    profile: str,
    method: str,
    path: str,
    token: str = "good",
    scheme: str = "",
) -> None:
    """Compare the complete response to a request with the expected one."""
    headers = authorization(world, profile, token, scheme)
    route_path, _, _ = path.partition("?")
    expected = answer(sight(world, profile), method, route_path, token)
    reply = await world.gateway.call(method, path, profile=None, headers=headers, encoded=True)
    assert reply.status == expected.status
    headers_received = {name: reply.headers[name] for name in HEADERS if name in reply.headers}
    assert headers_received == expected.headers
    if method != "HEAD":
        assert written(read_json(reply.body)) == written(expected.body)
        return
    assert reply.body == b""
    if "HEAD" in matched(route_path).methods:
        get = await world.gateway.call("GET", path, profile=None, headers=headers, encoded=True)
        assert reply.headers["Content-Length"] == get.headers["Content-Length"]


@cache
def sight(world: World, profile: str) -> Sight:
    """Return the viewer's sight of a database. It caches what it computes."""
    return Sight(world.rows, world.viewers[profile].profile_id)


def authorization(world: World, profile: str, token: str, scheme: str) -> dict[str, str]:
    """Return the header for a kind of token, empty if there is none."""
    match token:
        case "good":
            text = world.tokens[profile]
        case "expired":
            text = world.gateway.services.keys.issue(1, profile, timedelta(hours=-1))
        case _:
            text = token
    return {"Authorization": scheme + text} if text else {}
