"""Test the simulated devices of the demo home, and that the home acts on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.demo_devices import DemoDevices
from gateway.services import open_services
from storage.database.database import Database
from storage.demo.home import load_home
from tests.conftest import Graph, settings_for_tests


@pytest.fixture
async def devices() -> AsyncIterator[str]:
    runner = web.AppRunner(DemoDevices().application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def read(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return response.status, await response.json()


async def put(url: str, body: bytes) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as client, client.put(url, data=body) as response:
        return response.status, await response.json()


async def lamps_on(devices: str) -> list[str]:
    _, lamps = await read(f"{devices}/lights")
    return [lamp["lamp"] for lamp in lamps if lamp["on"]]


async def test_lamps_are_switched(devices: str) -> None:
    assert len(await lamps_on(devices)) == 6
    answer = await put(f"{devices}/lights/off", b'{"room": "living room"}')
    assert answer == (200, {"lamps": ["ceiling", "armchair"]})
    assert await lamps_on(devices) == ["table", "bed", "mirror", "terrace"]
    await put(f"{devices}/lights/on", b'{"lamp": "armchair", "brightness": "70"}')
    _, lamps = await read(f"{devices}/lights")
    expected = {"lamp": "armchair", "room": "living room", "floor": "ground floor", "on": True}
    assert lamps[1] == expected | {"brightness": "70"}


async def test_other_devices_show_what_was_done(devices: str) -> None:
    assert await read(f"{devices}/oven") == (404, {"error": "nothing was done with this device"})
    await put(f"{devices}/oven/heat", b'{"celsius": "200"}')
    assert await read(f"{devices}/oven") == (200, {"heat": {"celsius": "200"}})
    assert await put(f"{devices}/oven/heat", b"{") == (400, {"error": "the body is not JSON"})
    not_object = (400, {"error": "the body is not an object"})
    assert await put(f"{devices}/oven/heat", b"[]") == not_object


async def test_leaving_home_switches_the_lamps_off(devices: str, database: Database) -> None:
    assert await load_home(database, devices)
    async with open_services(settings_for_tests(), database) as services:
        graph = Graph(services)
        query = """{ process(reference: "leave_home") { id inputs { reference type } }
            availableSources { name kind actions { name } } }"""
        shown = await graph.data(query)
        lights = next(each for each in shown["availableSources"] if each["name"] == "lights")
        assert lights["kind"] == "http"
        assert {"name": "off"} in lights["actions"]
        values = {"number": "17", "time": "18:00", "text": "bye", "boolean": "true"}
        inputs = [
            {"reference": each["reference"], "value": values.get(each["type"], "1")}
            for each in shown["process"]["inputs"]
        ]
        execute = """mutation($id: ID!, $inputs: [InputValue!]) {
            executeProcess(id: $id, inputs: $inputs) { execution { status } } }"""
        variables = {"id": shown["process"]["id"], "inputs": inputs}
        done = await graph.data(execute, variables)
        assert done["executeProcess"]["execution"]["status"] == "SUCCEEDED"
    assert await lamps_on(devices) == []
