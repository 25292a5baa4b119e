"""Simulate the devices of the demo home: an HTTP API for this machine alone.

``PUT /lights/off`` with ``{"floor": "garden"}`` switches lamps off, and ``GET /lights`` shows them.
``GET /lanterns`` shows lamps that also listen to an MQTT broker, where mosquitto is installed.
Of any other device, ``GET`` shows the last arguments of each action.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from gateway.demo_broker import DEVICE, HOST, listening_lamps

_LIGHTS = (
    ("ceiling", "living room", "ground floor"),
    ("armchair", "living room", "ground floor"),
    ("table", "kitchen", "ground floor"),
    ("bed", "bedroom", "upper floor"),
    ("mirror", "bathroom", "upper floor"),
    ("terrace", "outdoors", "garden"),
)
_LANTERNS = (("gate", "outdoors", "garden"), ("pond", "outdoors", "garden"))
_MAX_ACTIONS = 100
"""Actions that are kept of one device, and devices that are kept."""


class DemoDevices:
    """The state of all devices. The lights are on at first, and the lanterns are off."""

    def __init__(self) -> None:
        self.lamps: dict[str, list[dict[str, Any]]] = {
            device: [
                {"lamp": lamp, "room": room, "floor": floor, "on": device == "lights"}
                for lamp, room, floor in lamps
            ]
            for device, lamps in (("lights", _LIGHTS), (DEVICE, _LANTERNS))
        }
        self.others: dict[str, dict[str, Any]] = {}

    def application(self) -> web.Application:
        """Return the HTTP API."""
        app = web.Application(client_max_size=64 * 1024)
        app.router.add_get("/{device}", self._show)
        app.router.add_put("/{device}/{action}", self._act)
        return app

    async def _show(self, request: web.Request) -> web.Response:
        device = request.match_info["device"]
        if device in self.lamps:
            return _json(self.lamps[device])
        if device not in self.others:
            return _json({"error": "nothing was done with this device"}, 404)
        return _json(self.others[device])

    async def _act(self, request: web.Request) -> web.Response:
        device, action = request.match_info["device"], request.match_info["action"]
        try:
            arguments = orjson.loads(await request.read() or b"{}")
        except orjson.JSONDecodeError:
            return _json({"error": "the body is not JSON"}, 400)
        if not isinstance(arguments, dict):
            return _json({"error": "the body is not an object"}, 400)
        return _json(self.act(device, action, arguments))

    def act(self, device: str, action: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Perform an action of a device, and return what was done."""
        if device in self.lamps and action in ("on", "off", "dim"):
            return {"lamps": self._switch(device, action, arguments)}
        if len(self.others) < _MAX_ACTIONS or device in self.others:
            actions = self.others.setdefault(device, {})
            if len(actions) < _MAX_ACTIONS or action in actions:
                actions[action] = arguments
        return {"action": action, "arguments": arguments}

    def _switch(self, device: str, action: str, arguments: Mapping[str, Any]) -> list[str]:
        """Switch the lamps that the arguments name, and return their names."""
        places = {key: arguments[key] for key in ("lamp", "room", "floor") if key in arguments}
        found = [lamp for lamp in self.lamps[device] if places.items() <= lamp.items()]
        shown = {key: arguments[key] for key in ("brightness", "color") if key in arguments}
        for lamp in found:
            lamp.pop("brightness", None)
            lamp.pop("color", None)
            lamp.update({"on": action != "off"} | (shown if action != "off" else {}))
        return [lamp["lamp"] for lamp in found]


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(value) + b"\n", status=status, content_type="application/json"
    )


async def serve_devices(port: int) -> None:
    """Serve the devices until the task is canceled. Prints their addresses.

    Raises:
        OSError: The port cannot be used.
    """
    devices = DemoDevices()
    runner = web.AppRunner(devices.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        port = runner.addresses[0][1]
        print(f"Devices        http://{HOST}:{port}/lights", flush=True)
        async with listening_lamps(port + 1, devices.act) as listen:
            if listen:
                print(f"MQTT lamps     http://{HOST}:{port}/{DEVICE}", flush=True)
            await asyncio.Event().wait()
    finally:
        await runner.cleanup()
