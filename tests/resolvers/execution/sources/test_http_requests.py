"""Test which requests the actions of ``http`` sources become."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from pydantic import ValidationError

from resolvers.execution.sources.http.settings import HttpSettings
from tests.resolvers.execution.sources.conftest import Act, failure
from tests.resolvers.execution.sources.device import Device

SET_LAMP = {
    "name": "set lamp",
    "method": "PUT",
    "path": "/lamps/{lamp}/state?fade={fade}&from=gateway",
    "headers": {"X-Lamp": "no. {lamp}", "X-Fade": "{fade}"},
    "body": {
        "on": "{on}",
        "level": "{level}",
        "text": "lamp {lamp} at {level}",
        "scene": {"ids": ["{lamp}", "{extra}", 7], "extra": "{extra}", "note": "x{extra}y"},
    },
    "arguments": [
        {"reference": "lamp"},
        {"reference": "on", "type": "boolean"},
        {"reference": "level", "type": "number"},
        {"reference": "fade", "type": "integer", "required": False},
        {"reference": "extra", "type": "json", "required": False},
    ],
}


def operations(*declared: dict[str, Any]) -> dict[str, Any]:
    return {"operations": list(declared)}


async def test_a_request_needs_no_declaration(device: Device, act: Act) -> None:
    result = await act("GET /lamps/{lamp}?deep=1", {"lamp": "a/b ?#ü", "lang": "fr & en"})
    path = "/lamps/a%2Fb%20%3F%23%C3%BC?deep=1&lang=fr%20%26%20en"
    assert result == {"status": 200, "body": {"method": "GET", "path": path, "body": ""}}
    assert uuid.UUID(device.last.headers["Idempotency-Key"]).version == 5
    assert device.last.headers["User-Agent"] == "process-gateway"
    assert "Content-Type" not in device.last.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_other_arguments_are_the_members_of_a_body(
    device: Device, act: Act, method: str
) -> None:
    await act(f"{method} /lamps/{{lamp}}", {"lamp": "1", "on": "true", 'a"b': 'c"d'})
    assert json.loads(device.last.body) == {"on": "true", 'a"b': 'c"d'}
    assert device.last.headers["Content-Type"] == "application/json"
    await act(f"{method} /lamps/{{lamp}}", {"lamp": "1"})
    assert device.last.body == ""


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_other_arguments_are_the_query(device: Device, act: Act, method: str) -> None:
    await act(f"{method} /lamps", {"a=b": "1&2", "c": ""})
    assert (device.last.method, device.last.path) == (method, "/lamps?a%3Db=1%262&c=")
    assert device.last.body == ""


async def test_an_operation_fills_all_places(device: Device, act: Act) -> None:
    arguments = {"lamp": "l 1", "on": "1", "level": "0.50", "fade": "3", "extra": '{"a":[null]}'}
    await act("set lamp", arguments, operations(SET_LAMP))
    assert device.last.method == "PUT"
    assert device.last.path == "/lamps/l%201/state?fade=3&from=gateway"
    assert device.last.headers["X-Lamp"] == "no. l 1"
    assert device.last.headers["X-Fade"] == "3"
    assert json.loads(device.last.body) == {
        "on": True,
        "level": 0.5,
        "text": "lamp l 1 at 0.50",
        "scene": {
            "ids": ["l 1", {"a": [None]}, 7],
            "extra": {"a": [None]},
            "note": 'x{"a":[null]}y',
        },
    }


async def test_optional_arguments_are_left_out(device: Device, act: Act) -> None:
    await act("set lamp", {"lamp": "1", "on": "false", "level": "3"}, operations(SET_LAMP))
    assert device.last.path == "/lamps/1/state?from=gateway"
    assert "X-Fade" not in device.last.headers
    body = json.loads(device.last.body)
    assert (body["on"], body["level"]) == (False, 3)
    assert body["scene"] == {"ids": ["1", 7], "note": "xy"}


async def test_a_declared_operation_without_a_body_types_its_members(
    device: Device, act: Act
) -> None:
    declared = {
        "name": "set",
        "method": "POST",
        "path": "/set",
        "arguments": [{"reference": "level", "type": "integer"}, {"reference": "name"}],
    }
    await act("set", {"level": "7", "name": "7"}, operations(declared))
    assert json.loads(device.last.body) == {"level": 7, "name": "7"}


async def test_the_secret_goes_where_the_settings_say(device: Device, act: Act) -> None:
    settings = {
        "base_url": f"{device.base_url}/api/{{secret}}/",
        "headers": {"Authorization": "Bearer {secret}", "user-agent": "mine"},
        "secret": "s/3cret",
    }
    await act("GET /lamps", {}, settings)
    assert device.last.path == "/api/s%2F3cret/lamps"
    assert device.last.headers["Authorization"] == "Bearer s/3cret"
    assert device.last.headers["User-Agent"] == "mine"


@pytest.mark.parametrize(
    ("action", "arguments", "expected"),
    [
        ("GET /l/{l}", {"l": ".."}, 'the argument "l" would leave its place in the path: it must'),
        ("GET /l/{l}", {"l": "."}, 'the argument "l" would leave its place in the path: it must'),
        ("GET /l/.{l}", {"l": "."}, 'the argument "l" would leave its place in the path: it must'),
        ("GET /l/{l}", {"l": "../admin"}, 'the argument "l" would leave its place in the path'),
        ("GET /l/{l}", {"l": "a\\..\\b"}, 'the argument "l" would leave its place in the path'),
        ("DELETE /l/{l}", {"l": ""}, 'the argument "l" would leave its place in the path'),
        ("GET /l/{l}", {"l": "a\r\nHost: b"}, 'the argument "l" contains a control character,'),
        ("GET /l/{l}", {"l": "a\0b"}, 'the argument "l" contains a control character, which a'),
        ("GET /l/{m}", {"l": "1"}, "the action is not a request: {m} names no argument"),
        ("GET /l/../x", {}, "the action is not a request: the path contains a segment . or .."),
        ("GET /l/%2e%2E/x", {}, "the action is not a request: the path contains a segment . or"),
        ("GET /l#x", {}, "the action is not a request: expected a path such as /lamps/{lamp}"),
        ("GET /l x", {}, "the action is not a request: expected a path such as /lamps/{lamp}"),
        ("GET /l\r\nA: b", {}, "the action is not a request: expected a path such as"),
        ("GET /l%0", {}, "the action is not a request: expected a path such as /lamps/{lamp}"),
        ("GET //evil.example/{l", {}, "the action is not a request: expected a path such as"),
        ("BREW /tea", {}, 'the source has no operation "BREW /tea", and that is no request such'),
        ("get /l", {}, 'the source has no operation "get /l", and that is no request such as'),
        ("set", {"lamp": "1"}, 'the argument "on" is missing'),
        ("set", {"lamp": "1", "on": "1", "x": ""}, 'the operation "set" has no argument "x"'),
        ("set", {"lamp": "1", "on": "yes"}, 'the argument "on": expected true or false, got "yes"'),
        ("set", {"lamp": "a\nb", "on": "1"}, 'the argument "lamp" contains a control character,'),
    ],
)
async def test_arguments_stay_in_their_places(
    device: Device, act: Act, action: str, arguments: dict[str, str], expected: str
) -> None:
    declared = {
        "name": "set",
        "method": "POST",
        "path": "/set",
        "headers": {"X-Lamp": "{lamp}"},
        "arguments": [{"reference": "lamp"}, {"reference": "on", "type": "boolean"}],
    }
    failed = await failure(act(action, arguments, operations(declared)))
    assert str(failed).startswith(expected)
    assert not failed.in_doubt
    assert device.received == []


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        ("integer", "1.5", 'expected a whole number of up to 18 digits, got "1.5"'),
        ("integer", "9" * 19, "expected a whole number of up to 18 digits"),
        ("integer", "\u0661", "expected a whole number of up to 18 digits"),
        ("number", "nan", 'expected a number such as 21.5, got "nan"'),
        ("number", "1e999", 'expected a number such as 21.5, got "1e999"'),
        ("number", "", 'expected a number such as 21.5, got ""'),
        ("boolean", "True", 'expected true or false, got "True"'),
        ("json", "{", 'expected JSON, got "{"'),
        ("json", "NaN", 'expected JSON, got "NaN"'),
    ],
)
async def test_values_have_their_types(
    device: Device, act: Act, type_: str, text: str, expected: str
) -> None:
    declared = {
        "name": "set",
        "method": "GET",
        "path": "/set",
        "arguments": [{"reference": "value", "type": type_}],
    }
    failed = await failure(act("set", {"value": text}, operations(declared)))
    assert str(failed).startswith(f'the argument "value": {expected}')
    assert device.received == []


async def test_a_source_may_offer_its_operations_only(device: Device, act: Act) -> None:
    settings = operations(SET_LAMP) | {"only_operations": True}
    failed = await failure(act("GET /lamps", {}, settings))
    assert str(failed) == 'the source has no operation "GET /lamps"'
    assert device.received == []


OPERATION = {"name": "a", "method": "GET", "path": "/"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"base_url": "lamps.example"}, "expected an address such as https://lamps.example/api"),
        ({"base_url": "ftp://a"}, "expected an address such as https://lamps.example/api"),
        ({"base_url": "http://"}, "expected an address such as https://lamps.example/api"),
        ({"base_url": "http://a:0"}, "expected an address such as https://lamps.example/api"),
        ({"base_url": "http://a:99999"}, "expected an address such as https://lamps.example/api"),
        ({"base_url": "http://[::1"}, "expected an address such as https://lamps.example/api"),
        ({"base_url": "http://a\nb"}, "expected an address such as https://lamps.example/api"),
        ({"base_url": "http://l\xe4mp"}, "expected an address such as https://lamps.example/api"),
        ({"base_url": "http://u:p@a"}, "must not contain a user or a password: use headers and"),
        ({"base_url": "http://a/?b"}, "must not contain a query or a fragment"),
        ({"base_url": "http://a/#"}, "must not contain a query or a fragment"),
        ({"base_url": "http://a/../b"}, "its path contains a segment . or .."),
        ({"base_url": "http://a/{b}"}, "its path contains a character that has to be escaped"),
        ({"base_url": "http://a/{secret}"}, "{secret} is used, and there is no secret"),
        ({"secret": "x"}, "the secret is used nowhere: write {secret} into a header"),
        (
            {"secret": "a\nb", "headers": {"A": "{secret}"}},
            "the secret contains a control character",
        ),
        ({"secret": "..", "base_url": "http://a/{secret}"}, "the secret cannot be a part of a"),
        ({"headers": {"a b": "c"}}, "'a b' is not the name of a header"),
        ({"headers": {"A": "b\r\nC: d"}}, "the header A contains a control character"),
        ({"headers": {"Content-Length": "1"}}, "the header Content-Length cannot be set"),
        ({"allow_networks": ["10.0.0.1/8"]}, "expected a network such as 192.168.1.0/24"),
        ({"timeout": 0}, "greater than 0"),
        ({"operations": [OPERATION, OPERATION]}, 'the operation "a" is declared twice'),
        ({"operations": [OPERATION | {"path": "a"}]}, "expected a path such as /lamps/{lamp}"),
        ({"operations": [OPERATION | {"path": "/{b}"}]}, '{b} names no argument: "b" is not'),
        ({"operations": [OPERATION | {"body": {}}]}, "a GET request has no body"),
        (
            {"operations": [OPERATION | {"method": "POST", "body": {"x": ["{b}"]}}]},
            '{b} names no argument: "b" is not declared',
        ),
        (
            {
                "operations": [
                    OPERATION | {"path": "/{b}", "arguments": [{"reference": "b", "required": 0}]}
                ]
            },
            'the argument "b" is in the path, so it is required',
        ),
        (
            {
                "operations": [
                    OPERATION | {"method": "PUT", "body": {}, "arguments": [{"reference": "b"}]}
                ]
            },
            'the argument "b" has no place in the request',
        ),
        (
            {"operations": [OPERATION | {"arguments": [{"reference": "b"}, {"reference": "b"}]}]},
            "an argument is declared twice",
        ),
        ({"unknown": 1}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HttpSettings.model_validate({"base_url": "http://lamps.example", **settings})
    assert expected in str(caught.value)
