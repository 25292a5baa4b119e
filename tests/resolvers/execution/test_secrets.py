"""Test that the secrets of sources are encrypted, and hidden in everything that comes of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, SecretStr

from gateway.execution_display import as_json, tree_of
from gateway.http.live.registry import Registry
from gateway.settings.model import SettingsError
from gateway.telemetry.metrics import Metrics
from resolvers.execution.secrets import (
    MASK,
    SecretBox,
    SecretError,
    mask,
    new_key,
    perform,
)
from resolvers.execution.sources.protocol import ActionFailedError, Call, Repeat, SourceKind
from resolvers.execution.stored_sources import encrypt_anew, prepare_sources
from storage.execution.trace import read_trace
from tests.conftest import SECRET_KEY
from tests.resolvers.execution.executions import HomeWith
from tests.resolvers.execution.sources.device import (
    LOOPBACK,
    Device,
    answers,
    hangs,
    raw,
    running_device,
)
from tests.resolvers.home import Home

NEW, OLD = new_key(), new_key()


def box(*keys: str) -> SecretBox:
    return SecretBox(lambda: keys)


# The box -----------------------------------------------------------------------------------------


def test_a_secret_is_sealed_and_opened() -> None:
    secrets = {"token": "s3cret é \0", "pin": ""}
    sealed = box(NEW).seal(7, secrets)
    assert "s3cret" not in json.dumps(sealed)
    assert box(NEW, OLD).open(7, sealed) == box(OLD, NEW).open(7, sealed) == secrets
    assert box(NEW).seal(7, secrets) != sealed
    assert box().seal(7, {}) == {}


def test_a_secret_of_another_key_or_place_is_not_opened() -> None:
    sealed = box(OLD).seal(7, {"token": "a", "other": "b"})
    for opening, source_id, stored, message in [
        (box(NEW), 7, sealed, "was encrypted with a key that is not known here"),
        (box(), 7, sealed, "was encrypted with a key that is not known here"),
        (box(OLD), 8, sealed, "was encrypted for another place"),
        (box(OLD), 7, {"token": sealed["other"]}, "was encrypted for another place"),
        (box(OLD), 7, {"token": {"sealed": "x"}}, "was encrypted with a key that is not known"),
        (box(OLD), 7, {"token": {}}, "is not stored as secrets are"),
        (box(OLD), 7, {"token": 1}, "is not stored as secrets are"),
    ]:
        with pytest.raises(SecretError, match=f"^the secret token {message}"):
            opening.open(source_id, stored)
    with pytest.raises(SecretError, match=r"^this gateway has no key for the secrets of sources"):
        box().seal(7, {"token": "a"})


def test_a_key_that_was_added_meanwhile_is_found() -> None:
    keys = [OLD]
    reading = SecretBox(lambda: keys)
    keys.insert(0, NEW)
    assert reading.open(7, box(NEW).seal(7, {"token": "a"})) == {"token": "a"}


def test_a_changed_token_is_not_opened() -> None:
    token = box(NEW).seal(7, {"t": "a"})["t"]["sealed"]
    changed = token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]
    with pytest.raises(SecretError):
        box(NEW).open(7, {"t": {"sealed": changed}})


# Masking -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("it is s/3 c.", f"it is {MASK}."),
        ("s/3 cs/3 c", MASK * 2),
        ("GET /s%2F3%20c/x and /s/3%20c", f"GET /{MASK}/x and /{MASK}"),
        ({"a": [{"s/3 c": "s/3 c"}, None, True, 1.5]}, {"a": [{MASK: MASK}, None, True, 1.5]}),
        ("nothing", "nothing"),
        ([4711, 14711.5, 4, "4711"], [MASK, MASK, 4, MASK]),
        ('{"a": "q\\"\\n"}', f'{{"a": "{MASK}"}}'),
    ],
)
def test_secrets_are_masked(value: Any, expected: Any) -> None:
    assert mask(value, ["s/3 c", "4711", 'q"\n', ""]) == expected


def test_what_is_nested_too_deeply_is_masked_as_a_whole() -> None:
    deep: Any = "s3cret"
    for _ in range(100_000):
        deep = [deep]
    assert mask(deep, ["s3cret"]) == MASK
    while isinstance(deep, list):  # so that it can be freed
        deep = deep.pop()


class _Settings(BaseModel):
    token: SecretStr


class _Leaky(SourceKind):
    name: ClassVar[str] = "leaky"
    settings: ClassVar[type[BaseModel]] = _Settings

    async def act(self, call: Call) -> Any:
        assert isinstance(call.settings, _Settings)
        token = call.settings.token.get_secret_value()
        if call.action == "fail":
            raise ActionFailedError(
                f"no {token}", repeat=Repeat.ALWAYS, in_doubt=True, retry_after=3, timed_out=True
            )
        if call.action == "break":
            raise ValueError(token)
        return {"token": token}


async def test_what_comes_of_an_attempt_is_masked() -> None:
    settings = _Settings(token=SecretStr("s3cret"))
    assert await perform(_Leaky(), Call("", [], settings)) == {"token": MASK}
    with pytest.raises(ActionFailedError) as failed:
        await perform(_Leaky(), Call("fail", [], settings))
    error = failed.value
    assert str(error) == f"no {MASK}"
    assert (error.repeat, error.in_doubt) == (Repeat.ALWAYS, True)
    assert (error.retry_after, error.timed_out) == (3, True)
    with pytest.raises(RuntimeError, match=f"ValueError: {MASK}") as broken:
        await perform(_Leaky(), Call("break", [], settings))
    assert "s3cret" not in str(broken.value)
    assert broken.value.__cause__ is None
    assert broken.value.__suppress_context__


# In the database ---------------------------------------------------------------------------------

SOURCE: dict[str, Any] = {
    "name": "door",
    "kind": "http",
    "settings": {
        "base_url": "http://door.example",
        "headers": {"A": "{secret}"},
        "secret": "s3cret",
    },
}


async def stored(home: Home) -> dict[str, Any]:
    (row,) = await home.graph.run("SELECT id, secrets FROM source WHERE NOT built_in")
    return {"id": row["id"], "secrets": json.loads(row["secrets"])}


async def test_the_secret_of_a_source_is_stored_encrypted(home: Home) -> None:
    source = (await home.do("createSource", source=SOURCE))["source"]["id"]
    first = await stored(home)
    assert "s3cret" not in json.dumps(first)
    opens = box(SECRET_KEY)
    assert opens.open(first["id"], first["secrets"]) == {"secret": "s3cret"}
    settings = SOURCE["settings"] | {"secret": "another"}
    await home.do("updateSource", id=source, changes={"settings": settings})
    second = await stored(home)
    assert opens.open(second["id"], second["secrets"]) == {"secret": "another"}
    kept = {name: value for name, value in settings.items() if name != "secret"}
    await home.do("updateSource", id=source, changes={"settings": kept})
    third = await stored(home)
    assert opens.open(third["id"], third["secrets"]) == {"secret": "another"}


async def test_without_a_key_no_secret_is_stored(home_with: HomeWith, tmp_path: Any) -> None:
    nowhere = {"secret_keys": None, "database_url": "postgresql://x", "data_dir": tmp_path}
    async with home_with(**nowhere) as home:
        query = "mutation($source: NewSource!) { createSource(source: $source) { source { id } } }"
        error = await home.graph.error(query, {"source": SOURCE})
        assert error["extensions"]["code"] == "CONFLICT"
        assert error["message"] == (
            "this gateway has no key for the secrets of sources: set secret_keys"
        )
        assert await home.graph.run("SELECT FROM source WHERE NOT built_in") == []
        plain = SOURCE | {"settings": {"base_url": "http://door.example"}}
        await home.do("createSource", source=plain)


async def test_secrets_of_an_earlier_version_are_encrypted_at_the_start(
    home_with: HomeWith,
) -> None:
    async with home_with() as home:
        await home.do("createSource", source=SOURCE)
        await home.graph.run(
            'UPDATE source SET secrets = \'{"secret": "s3cret"}\' WHERE NOT built_in'
        )
    async with home_with() as home:
        found = await stored(home)
        assert "s3cret" not in json.dumps(found)
        assert box(SECRET_KEY).open(found["id"], found["secrets"]) == {"secret": "s3cret"}


async def test_a_start_with_an_unknown_key_is_refused(home_with: HomeWith) -> None:
    async with home_with() as home:
        await home.do("createSource", source=SOURCE)
    message = (
        'secret_keys: source "door": the secret secret was encrypted with a key that is not known'
        " here"
    )
    with pytest.raises(SettingsError, match=f"^{message}$"):
        async with home_with(secret_keys=NEW):
            pass
    async with home_with(secret_keys=f"{NEW}, {SECRET_KEY}") as home:
        assert await encrypt_anew(home.graph.database, box(NEW, SECRET_KEY)) == 1
    with pytest.raises(SettingsError, match=f"^{message}$"):
        async with home_with():
            pass
    async with home_with(secret_keys=NEW) as home:
        found = await stored(home)
        assert box(NEW).open(found["id"], found["secrets"]) == {"secret": "s3cret"}
        with pytest.raises(SecretError, match=r'^source "door": the secret secret was encrypted'):
            await encrypt_anew(home.graph.database, box(OLD))
        assert (await stored(home))["secrets"] == found["secrets"]
        await prepare_sources(home.graph.database, {}, box(NEW))
        assert (await stored(home))["secrets"] == found["secrets"]


# Everywhere --------------------------------------------------------------------------------------

TOKEN = 's3cret/"token"'


async def breaks(device: Device, request: Any) -> Any:
    raise RuntimeError("the device breaks")


async def test_a_secret_is_found_nowhere(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    """Run an action that succeeds and actions that fail in each way, and look everywhere."""
    caplog.set_level(logging.DEBUG)
    async with running_device() as device:
        settings = {
            "base_url": f"{device.base_url}/{{secret}}",
            "headers": {"Authorization": "Bearer {secret}"},
            "secret": TOKEN,
            "allow_networks": LOOPBACK,
            "timeout": 0.5,
        }
        source = {"name": "lamp", "kind": "http", "settings": settings}
        shown = [await home.do("createSource", source=source)]
        behaviours: dict[str, Callable[..., Any] | None] = {
            "echoes": None,
            "echoes text": answers(200, f"Bearer {TOKEN}".encode(), Content_Type="text/plain"),
            "refuses": answers(403, TOKEN.encode()),
            "redirects": answers(302, Location=f"/{TOKEN}"),
            "breaks": breaks,
            "lies": answers(200, b"{" + TOKEN.encode(), Content_Type="application/json"),
            "closes": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + TOKEN.encode()),
            "hangs": hangs,
        }
        process = await home.process(
            "leak", actions=[{"source": "lamp", "action": "POST /state", "arguments": []}]
        )
        for behave in behaviours.values():
            device.behave = behave
            query = """mutation($id: ID!) { executeProcess(id: $id) { execution {
                id status error steps { result error action } } } }"""
            shown.append(await home.graph.ask(query, {"id": process}))
        assert len(device.received) == len(behaviours)
        assert device.last.headers["Authorization"] == f"Bearer {TOKEN}"
    everything = """{ sources { nodes { name settings secretSettings } }
        executions { nodes { id error steps { result error } } } }"""
    shown.append(await home.graph.ask(everything))
    results = json.dumps(shown, ensure_ascii=False)
    assert MASK in results
    tables = await home.graph.run(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname = 'public'"
    )
    services = home.graph.services
    metrics = Metrics(services, Registry(services.directory, 1)).text().decode()
    assert "gateway_executions" in metrics
    places = [results, caplog.text, metrics]
    for row in await home.graph.run("SELECT id FROM execution"):
        traced = await read_trace(home.graph.database, row["id"])
        assert traced is not None
        places += ["\n".join(tree_of(traced)), as_json(traced).decode()]
    for table in tables:
        rows = await home.graph.run(f"SELECT t::text AS row FROM {table['name']} AS t")
        places.extend(row["row"] for row in rows)
    assert any("leak" in place for place in places)
    for place in places:
        assert "s3cret" not in place
