"""Test the simulated devices of the demo home, and that the home acts on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.demo_broker import broker_url, listening_lamps
from gateway.demo_devices import DemoDevices
from gateway.services import open_services
from storage.database.database import Database
from storage.demo.home import load_home
from tests.conftest import Graph, settings_for_tests
from tests.gateway.programs import free_port, require_program


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


async def test_lanterns_listen_to_the_broker(database: Database) -> None:
    require_program("mosquitto")
    require_program("mosquitto_sub")
    port = free_port()
    devices = DemoDevices()
    broker = broker_url(f"http://127.0.0.1:{port - 1}")
    assert broker == f"mqtt://127.0.0.1:{port}"
    assert await load_home(database, "", broker)
    acted: asyncio.Queue[object] = asyncio.Queue()
    async with (
        listening_lamps(port, lambda *what: acted.put_nowait(devices.act(*what))) as listen,
        open_services(settings_for_tests(), database) as services,
    ):
        assert listen
        graph = Graph(services)
        execute = """mutation($id: ID!) {
            executeProcess(id: $id) { execution { status error } } }"""
        query = '{ process(reference: "garden_lanterns") { id } }'
        variables = (await graph.data(query))["process"]
        seen = []
        for _ in range(2):
            done = (await graph.data(execute, variables))["executeProcess"]
            assert done["execution"]["status"] == "SUCCEEDED", done
            async with asyncio.timeout(10):
                assert await acted.get() == {"lamps": ["gate", "pond"]}
            seen.append(
                [(lamp["on"], lamp.get("brightness")) for lamp in devices.lamps["lanterns"]]
            )
        assert seen == [[(True, "60")] * 2, [(False, None)] * 2]
    assert all(lamp["on"] for lamp in devices.lamps["lights"])


async def test_the_devices_do_without_a_broker() -> None:
    assert broker_url("") == ""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with listening_lamps(port, DemoDevices().act) as listen:
            assert not listen
