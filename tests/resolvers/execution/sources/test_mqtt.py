"""Test ``mqtt`` sources with Debian's mosquitto."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resolvers.execution.sources.mqtt import packets
from resolvers.execution.sources.mqtt.kind import MqttKind
from resolvers.execution.sources.mqtt.settings import MqttSettings
from resolvers.execution.sources.protocol import Call, Repeat
from tests.resolvers.execution.sources.broker import (
    PASSWORD,
    USER,
    Broker,
    password_file,
    relay_to,
    running_broker,
)
from tests.resolvers.execution.sources.conftest import failure
from tests.resolvers.execution.sources.device import certificate

LOST = "the connection was lost before the broker confirmed the message"
SUCCESS = {"reasonCode": 0}
NOBODY = {"reasonCode": 16}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with running_broker(tmp_path) as broker:
        yield broker


async def act(
    url: str,
    action: str,
    arguments: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
    seconds: float = 10.0,
) -> Any:
    checked = MqttSettings.model_validate({"broker_url": url, **(settings or {})})
    call = Call(action, list((arguments or {}).items()), checked, seconds=seconds)
    return await MqttKind().act(call)


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_message_is_delivered(broker: Broker, qos: int) -> None:
    async with broker.subscribed("home/#", 1) as messages:
        result = await act(
            broker.url,
            "home/{room}/lamp",
            {"room": "hall é", "on": "true", "level": '"3"'},
            {"qos": qos},
        )
        topic, sent_qos, retained, payload = (await messages())[0].split("|", 3)
    assert result == {"reasonCode": 0 if qos else None}
    assert (topic, sent_qos, retained) == ("home/hall é/lamp", str(qos), "0")
    assert json.loads(payload) == {"on": "true", "level": '"3"'}


async def test_the_argument_payload_is_the_payload(broker: Broker) -> None:
    kept = {"retain": True}
    await act(broker.url, "home/{room}", {"room": "a", "payload": "ON | {é}"}, kept)
    await act(broker.url, "home/b", {"payload": "1", "other": "2"}, kept)
    await act(broker.url, "home/c", {"x": "y" * 60_000}, kept)
    received = sorted(await broker.published("home/#", 3))
    assert received[0] == "home/a|1|1|ON | {é}"
    assert json.loads(received[1].split("|", 3)[3]) == {"payload": "1", "other": "2"}
    assert json.loads(received[2].split("|", 3)[3]) == {"x": "y" * 60_000}
    await act(broker.url, "home/a", {}, kept)  # nothing is kept any more
    assert len(await broker.published("home/#", 2)) == 2


async def test_an_operation_has_its_own_topic_and_payload(broker: Broker) -> None:
    dim = {
        "name": "dim",
        "topic": "home/{room}/set",
        "payload": {"level": "{level}", "note": "{level} in {room}", "fade": "{fade}"},
        "arguments": [
            {"reference": "room"},
            {"reference": "level", "type": "number"},
            {"reference": "fade", "type": "integer", "required": False},
        ],
        "retain": True,
    }
    settings = {"operations": [dim], "only_operations": True}
    assert await act(broker.url, "dim", {"room": "hall", "level": "3"}, settings) == NOBODY
    received = await broker.published("home/hall/set")
    assert json.loads(received[0].split("|", 3)[3]) == {"level": 3, "note": "3 in hall"}
    failed = await failure(act(broker.url, "home/hall/set", {}, settings))
    assert str(failed) == 'the source has no operation "home/hall/set"'
    checked = MqttSettings.model_validate({"broker_url": broker.url, **settings})
    assert MqttKind().is_idempotent("dim", checked)
    assert not MqttKind().is_idempotent("home/x", checked)


async def test_the_reason_code_is_kept(broker: Broker) -> None:
    assert await act(broker.url, "nobody/listens") == NOBODY
    async with broker.subscribed("nobody/#", 1):
        assert await act(broker.url, "nobody/listens") == SUCCESS


# Input that does not fit ------------------------------------------------------------------------

LEAVES = (
    'the argument "room" would leave its place in the topic: it must not be empty, or contain +, #,'
    " / or a control character"
)


@pytest.mark.parametrize(
    ("action", "room", "expected"),
    [
        ("home/{room}", "+", LEAVES),
        ("home/{room}", "a#", LEAVES),
        ("home/{room}", "a/b", LEAVES),
        ("home/{room}", "a\0b", LEAVES),
        ("home/{room}", "a\nb", LEAVES),
        ("home/{room}", "", LEAVES),
        ("{room}/a", "$SYS", "the topic would begin with $, which the broker keeps for itself"),
        ("a{room}", "x" * 65_535, "a topic has at most 65,535 bytes"),
        ("home/+/{room}", "a", "the action is not a topic: a topic to publish to must not contain"),
        ("home/#", "a", "the action is not a topic: a topic to publish to must not contain + or"),
        ("home\n/{room}", "a", "the action is not a topic: a topic must not contain a control"),
        ("home/{other}", "a", 'the action is not a topic: {other} names no argument: "other" is'),
    ],
)
async def test_inputs_stay_in_their_places(action: str, room: str, expected: str) -> None:
    # Nothing listens there: a message that was sent would fail in another way.
    failed = await failure(act("mqtt://127.0.0.1:1", action, {"room": room}))
    assert str(failed).startswith(expected)
    assert (failed.repeat, failed.in_doubt) == (Repeat.NEVER, False)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"broker_url": "http://a"}, "expected an address such as mqtts://broker.example:8883"),
        ({"broker_url": "mqtt://"}, "expected an address such as mqtts://broker.example:8883"),
        ({"broker_url": "mqtt://a:x"}, "expected an address such as mqtts://broker.example:8883"),
        ({"broker_url": "mqtt://u:p@a"}, "must not contain a user or a password: use username"),
        ({"broker_url": "mqtt://a/b"}, "must not contain a path, a query or a fragment"),
        ({"broker_url": "mqtt://a?b"}, "must not contain a path, a query or a fragment"),
        ({"ca_certificate": "x"}, "certificates need a broker_url that begins with mqtts://"),
        ({"client_key": "x"}, "client_certificate and client_key belong together"),
        ({"username": "x" * 65_536}, "expected at most 65,535 bytes"),
        ({"qos": 3}, "Input should be 0, 1 or 2"),
        ({"operations": [{"name": "a", "topic": "a/#"}]}, "must not contain + or #"),
        ({"operations": [{"name": "a", "topic": ""}]}, "a topic must not be empty"),
        ({"operations": [{"name": "a", "topic": "{b}"}]}, '{b} names no argument: "b" is not'),
        ({"operations": [{"name": "a", "topic": "b"}] * 2}, 'the operation "a" is declared twice'),
        (
            {
                "operations": [
                    {"name": "a", "topic": "b", "payload": 1, "arguments": [{"reference": "c"}]}
                ]
            },
            'the argument "c" has no place in the message',
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MqttSettings.model_validate({"broker_url": "mqtt://broker.example", **settings})
    assert expected in str(caught.value)


@given(st.integers(0, 268_435_455))
def test_lengths_are_written_as_the_standard_says(number: int) -> None:
    encoded = packets.length(number)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(encoded)) == number
    assert [byte >> 7 for byte in encoded] == [1] * (len(encoded) - 1) + [0]
    assert len(encoded) == 1 + sum(number >= limit for limit in (128, 16_384, 2_097_152))


# Connections that fail --------------------------------------------------------------------------


async def test_a_broker_that_is_not_there(broker: Broker) -> None:
    await broker.stop()
    failed = await failure(act(broker.url, "home/hall"))
    assert str(failed) == "the broker cannot be reached: it refuses connections"
    assert (failed.repeat, failed.in_doubt) == (Repeat.ALWAYS, False)
    await broker.start()
    assert await act(broker.url, "home/hall") == NOBODY


async def test_a_user_without_the_right_password(tmp_path: Path) -> None:
    settings = ["allow_anonymous false", f"password_file {password_file(tmp_path)}"]
    async with running_broker(tmp_path, *settings) as broker:
        login = {"username": USER, "password": PASSWORD}
        assert await act(broker.url, "home/hall", {}, login) == NOBODY
        wrong: list[dict[str, str]] = [{}, {"username": USER}, login | {"password": "another"}]
        for credentials in wrong:
            failed = await failure(act(broker.url, "home/hall", {}, credentials))
            assert str(failed) == "the broker refused the connection: not authorized (0x87)"
            assert (failed.repeat, failed.in_doubt) == (Repeat.NEVER, False)


async def test_a_topic_that_the_broker_refuses(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic write home/#\n")
    settings = ["allow_anonymous true", f"acl_file {tmp_path / 'acl'}"]
    async with running_broker(tmp_path, *settings) as broker:
        assert await act(broker.url, "home/hall") == NOBODY
        for qos in (1, 2):
            failed = await failure(act(broker.url, "garden/gate", {}, {"qos": qos}))
            assert str(failed) == "the broker refused the message: not authorized (0x87)"
            assert (failed.repeat, failed.in_doubt) == (Repeat.NEVER, False)


async def test_a_message_that_is_too_long_for_the_broker(tmp_path: Path) -> None:
    settings = ["allow_anonymous true", "max_packet_size 1000"]
    async with running_broker(tmp_path, *settings) as broker:
        failed = await failure(act(broker.url, "home/hall", {"payload": "x" * 2000}))
        assert failed.in_doubt
        assert "(0x95)" in str(failed) or str(failed) == LOST


async def test_a_broker_that_ends_before_it_has_the_message(broker: Broker) -> None:
    async with relay_to(broker.port) as relay:

        async def end() -> bool:
            await broker.stop()
            return False

        relay.on_publish = end
        failed = await failure(act(relay.url, "home/hall", {"payload": "1"}, {"retain": True}))
        assert str(failed) == LOST
        assert (failed.repeat, failed.in_doubt) == (Repeat.IF_IDEMPOTENT, True)
        await broker.start()
        relay.on_publish = None
        assert await act(relay.url, "home/hall", {"payload": "2"}, {"retain": True}) == NOBODY
        assert await broker.published("home/#") == ["home/hall|1|1|2"]


async def test_a_broker_that_ends_after_it_has_the_message(broker: Broker) -> None:
    async with relay_to(broker.port) as relay, broker.subscribed("home/#", 1) as messages:
        relay.mute = True
        ending: list[asyncio.Task[list[str]]] = []

        async def end_later() -> list[str]:
            received = await messages()
            await broker.stop()
            return received

        async def note() -> bool:
            ending.append(asyncio.create_task(end_later()))
            return True

        relay.on_publish = note
        failed = await failure(act(relay.url, "home/hall", {"payload": "1"}))
        assert str(failed) == LOST
        assert (failed.repeat, failed.in_doubt) == (Repeat.IF_IDEMPOTENT, True)
        assert await ending[0] == ["home/hall|1|0|1"]


async def test_a_broker_that_does_not_answer(broker: Broker) -> None:
    async with relay_to(broker.port) as relay:
        relay.mute = True

        async def pass_on() -> bool:
            return True

        relay.on_publish = pass_on
        failed = await failure(act(relay.url, "home/hall", {}, {}, 0.3))
        assert str(failed) == "the broker did not confirm the message within 0.285 s"
        assert (failed.repeat, failed.in_doubt) == (Repeat.IF_IDEMPOTENT, True)
        assert failed.timed_out


async def answering(*answers: bytes) -> asyncio.Server:
    """Start a server that sends these answers, one for each packet, and then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(65536)
            writer.write(answer)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


ACCEPTED = b"\x20\x03\0\0\0"


@pytest.mark.parametrize(
    ("answers", "message", "repeat", "in_doubt"),
    [
        ([b""], "the broker closed the connection before it accepted it", Repeat.ALWAYS, False),
        (
            [b"HTTP/1.1 400 Bad Request\r\n" + bytes(99)],
            "the broker does not speak MQTT 5",
            Repeat.ALWAYS,
            False,
        ),
        ([b"\x20\xff\xff\xff\xff\x01"], "the broker does not speak MQTT 5", Repeat.ALWAYS, False),
        ([b"\x20\xff\xff\x7f"], "the broker does not speak MQTT 5", Repeat.ALWAYS, False),
        ([b"\x20\x01\0"], "the broker does not speak MQTT 5", Repeat.ALWAYS, False),
        (
            [b"\x20\x02\0\x01"],
            "the broker refused the connection: unsupported protocol version (0x84)",
            Repeat.NEVER,
            False,
        ),
        (
            [b"\x20\x03\0\x89\0"],
            "the broker refused the connection: server busy (0x89)",
            Repeat.ALWAYS,
            False,
        ),
        ([ACCEPTED, b""], LOST, Repeat.IF_IDEMPOTENT, True),
        ([ACCEPTED, b"\x40\x02\0"], LOST, Repeat.IF_IDEMPOTENT, True),
        (
            [ACCEPTED, b"\x40\x02\0\x07"],
            "the broker does not speak MQTT 5",
            Repeat.IF_IDEMPOTENT,
            True,
        ),
        (
            [ACCEPTED, b"\xe0\x01\x8b"],
            "the broker ended the connection: server shutting down (0x8b)",
            Repeat.IF_IDEMPOTENT,
            True,
        ),
        (
            [ACCEPTED, b"\x40\x04\0\x01\x97\0"],
            "the broker refused the message: quota exceeded (0x97)",
            Repeat.ALWAYS,
            False,
        ),
        (
            [ACCEPTED, b"\x40\x04\0\x01\xc0\0"],
            "the broker refused the message: unknown reason (0xc0)",
            Repeat.NEVER,
            False,
        ),
    ],
)
async def test_answers_are_classified(
    answers: list[bytes], message: str, repeat: Repeat, in_doubt: bool
) -> None:
    async with await answering(*answers) as server:
        port = server.sockets[0].getsockname()[1]
        failed = await failure(act(f"mqtt://127.0.0.1:{port}", "home/hall"))
    assert str(failed) == message
    assert (failed.repeat, failed.in_doubt) == (repeat, in_doubt)


async def test_an_acknowledgement_without_a_reason_is_a_success() -> None:
    async with await answering(ACCEPTED, b"\x40\x02\0\x01", b"") as server:
        port = server.sockets[0].getsockname()[1]
        assert await act(f"mqtt://127.0.0.1:{port}", "home/hall") == SUCCESS


# TLS ---------------------------------------------------------------------------------------------


async def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    (tmp_path / "client").mkdir()
    server, _ = certificate(tmp_path / "broker", "127.0.0.1")
    client, _ = certificate(tmp_path / "client", "gateway")
    bundle = (tmp_path / "client" / "server.pem").read_text()
    key = bundle[len(client) :]
    assert load_pem_private_key(key.encode(), None)
    (tmp_path / "client.pem").write_text(client)
    settings = [
        f"certfile {tmp_path / 'broker' / 'server.pem'}",
        f"keyfile {tmp_path / 'broker' / 'server.pem'}",
        f"cafile {tmp_path / 'client.pem'}",
        "require_certificate true",
        "allow_anonymous true",
    ]
    async with running_broker(tmp_path, *settings) as broker:
        url = broker.url.replace("mqtt:", "mqtts:")
        own = {"client_certificate": client, "client_key": key}
        trusted = {"ca_certificate": server}
        assert await act(url, "home/hall", {}, own | trusted) == NOBODY
        failed = await failure(act(url, "home/hall", {}, own))
        assert str(failed) == "the broker cannot be reached: its certificate is not valid"
        assert (failed.repeat, failed.in_doubt) == (Repeat.ALWAYS, False)
        failed = await failure(act(url, "home/hall", {}, trusted))
        assert not failed.in_doubt
        failed = await failure(act(url, "home/hall", {}, trusted | own | {"client_key": "no"}))
        expected = "the settings client_certificate and client_key do not belong together"
        assert str(failed) == expected
        failed = await failure(act(url, "home/hall", {}, {"ca_certificate": "no"}))
        assert str(failed) == "the setting ca_certificate holds no certificate"


async def test_the_name_in_a_certificate_is_verified(tmp_path: Path) -> None:
    server, context = certificate(tmp_path, "broker.example")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert isinstance(context, ssl.SSLContext)
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listener:
        port = listener.sockets[0].getsockname()[1]
        failed = await failure(
            act(f"mqtts://127.0.0.1:{port}", "home/hall", {}, {"ca_certificate": server})
        )
    assert str(failed) == "the broker cannot be reached: its certificate is not valid"
