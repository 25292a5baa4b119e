"""Example requests and answers of the /process dialect for its OpenAPI document.

They are written for the demo home of a new database. Sent in the order of the routes, each request
succeeds and gets the answer shown; the tests do so.
"""

from __future__ import annotations

from rest_compat.dialect import RouteExample

_LIGHT = {
    "id": 1,
    "reference": "light",
    "name": "Light",
    "description": "Lamps in every room, and the shutters that let the daylight in.",
    "icon": "lightbulb",
}
_LIVING_ROOM = {
    "id": 1,
    "reference": "living_room_lights",
    "name": "Living room lights",
    "nameEnable": "Living room lights are on",
    "nameDisable": "Living room lights are off",
    "description": "The ceiling lamp and both wall lamps. Asks for brightness and colour to switch"
    " on.",
    "espace": _LIGHT,
    "icon": "lamp-ceiling",
    "mode": "switch",
    "enable": 0,
    "actions": [
        {
            "id": 1,
            "source": "lights",
            "action": "on",
            "enable": 0,
            "arguments": [
                {"reference": "room", "value": "living room"},
                {"reference": "brightness", "value": "{brightness}"},
                {"reference": "color", "value": "{color}"},
            ],
        },
        {
            "id": 2,
            "source": "lights",
            "action": "off",
            "enable": 1,
            "arguments": [{"reference": "room", "value": "living room"}],
        },
    ],
    "inputs": [
        {
            "id": 1,
            "reference": "brightness",
            "name": "Brightness (%)",
            "type": "number",
            "enable": 0,
        },
        {"id": 2, "reference": "color", "name": "Colour", "type": "color", "enable": 0},
    ],
    "profiles": [{"id": 4, "name": "children"}, {"id": 5, "name": "cleaner"}],
}
_PROCESS = {"idProcess": 1}
_PROFILE = {"idProfile": "guest"}

EXAMPLES = {
    "Espaces": RouteExample([_LIGHT]),
    "Processes": RouteExample([_LIVING_ROOM]),
    "CreateProcess": RouteExample(
        {"id": 34},
        body={
            "reference": "night_light",
            "name": "Night light",
            "nameEnable": "Night light is on",
            "nameDisable": "Night light is off",
            "description": "A dim light in the hall.",
            "espace": "light",
            "icon": "lamp",
            "mode": "switch",
            "enable": 0,
            "sources": [
                {
                    "source": "lights",
                    "action": "on",
                    "enable": 0,
                    "arguments": [
                        {"reference": "room", "value": "hall"},
                        {"reference": "brightness", "value": "{brightness}"},
                    ],
                },
                {
                    "source": "lights",
                    "action": "off",
                    "enable": 1,
                    "arguments": [{"reference": "room", "value": "hall"}],
                },
            ],
            "inputs": [
                {
                    "reference": "brightness",
                    "name": "Brightness (%)",
                    "type": "number",
                    "enable": 0,
                }
            ],
            "profiles": ["children"],
        },
    ),
    "Process": RouteExample(_LIVING_ROOM, path=_PROCESS),
    "DeleteProcess": RouteExample(path={"idProcess": 2}),
    "AddAction": RouteExample(
        {"id": 83},
        path=_PROCESS,
        body={
            "source": "speakers",
            "action": "say",
            "enable": 1,
            "arguments": [
                {"reference": "room", "value": "living room"},
                {"reference": "text", "value": "The lights are off."},
            ],
        },
    ),
    "RemoveAction": RouteExample(path={"idProcess": 1, "idAction": 2}),
    "AddInput": RouteExample(
        {"id": 42},
        path=_PROCESS,
        body={"reference": "until", "name": "Until", "type": "time", "enable": 1},
    ),
    "RemoveInput": RouteExample(path={"idProcess": 1, "idInput": "brightness"}),
    "ExecuteProcess": RouteExample(
        {
            "id": 1,
            "status": "succeeded",
            "enable": 0,
            "results": [
                {
                    "source": "speakers",
                    "action": "say",
                    "status": "succeeded",
                    "result": {"room": "all", "text": "Dinner is ready."},
                }
            ],
        },
        path={"id": 9},
        body={"inputs": [{"reference": "text", "value": "Dinner is ready."}]},
    ),
    "AuthoriseProfile": RouteExample(path=_PROCESS, body=_PROFILE),
    "UnauthoriseProfile": RouteExample(path=_PROCESS, body=_PROFILE),
    "UnauthoriseOneProfile": RouteExample(path={"idProcess": 1, "idProfile": "children"}),
}
