"""Implement the source kind ``mqtt``: publish the message of an action, and say how it failed.

Each message has a connection of its own. It publishes nothing else, so that what happens to the
connection always says what has happened to the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
import uuid
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import BaseModel

from resolvers.execution.sources.mqtt import packets
from resolvers.execution.sources.mqtt.messages import Message, build_message
from resolvers.execution.sources.mqtt.packets import (
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBREC,
    REASONS,
    MalformedPacketError,
    Packet,
)
from resolvers.execution.sources.mqtt.settings import MqttSettings
from resolvers.execution.sources.operations import catalogue_of, find_operation
from resolvers.execution.sources.protocol import (
    ActionFailedError,
    Call,
    Catalogue,
    Repeat,
    SourceKind,
)

_SHARE = 0.95
"""The part of an action's time after which publishing is given up.

The engine, which cancels the action at the end of its time, cannot tell whether it was sent.
"""
_KEEP_ALIVE = 600
"""Seconds that a connection may be silent. It never lives so long."""
_MAX_PACKET = 64 * 1024
"""Bytes of a packet that is read. Those that are expected have a few."""
_BUSY = frozenset((0x88, 0x89, 0x8B, 0x97, 0x9F))
"""Reasons that pass: the broker has not accepted the connection or message because of its load."""


class MqttKind(SourceKind):
    """Publishes messages to an MQTT 5 broker.

    The result of an action is ``{"reasonCode": 0}``: the broker's code, which is 16 if nobody has
    subscribed to the topic. It is null with QoS 0, where the broker confirms nothing.
    """

    name: ClassVar[str] = "mqtt"
    settings: ClassVar[type[BaseModel]] = MqttSettings

    async def act(self, call: Call) -> Any:
        """Publish one message, and return the reason code of the broker."""
        settings = call.settings
        assert isinstance(settings, MqttSettings)
        message = build_message(call.action, call.arguments, settings)
        seconds = min(settings.timeout or call.seconds, call.seconds * _SHARE)
        publication = _Publication(settings, message)
        try:
            async with asyncio.timeout(seconds):
                return {"reasonCode": await publication.run()}
        except TimeoutError:
            waited = "confirm the message" if publication.sent else "accept the connection"
            raise publication.failed(
                f"the broker did not {waited} within {seconds:.3g} s", timed_out=True
            ) from None
        finally:
            publication.close()

    def is_idempotent(self, action: str, settings: BaseModel) -> bool:
        """Whether the operation says so, or else whether the message is retained."""
        assert isinstance(settings, MqttSettings)
        operation = find_operation(settings.operations, action)
        if operation is None:
            return settings.retain
        if operation.idempotent is not None:
            return operation.idempotent
        return settings.retain if operation.retain is None else operation.retain

    def catalogue(self, settings: BaseModel | None) -> Catalogue:
        """Return the operations of a source."""
        if settings is None:
            return Catalogue()
        assert isinstance(settings, MqttSettings)
        return catalogue_of(
            settings.operations,
            lambda operation: f"Publishes to {operation.topic}",
            lambda operation: self.is_idempotent(operation.name, settings),
            only_operations=settings.only_operations,
        )


class _Publication:
    """A connection, and the message that is published on it."""

    def __init__(self, settings: MqttSettings, message: Message) -> None:
        self._settings = settings
        self._message = message
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.sent = False
        """Whether the message may have been sent."""

    async def run(self) -> int | None:
        """Connect, publish, and return the reason code of the broker.

        Raises:
            ActionFailedError: The broker cannot be reached, or did not accept the message.
        """
        try:
            await self._connect()
            return await self._publish()
        except ssl.SSLCertVerificationError:
            raise self.failed(
                "the broker cannot be reached: its certificate is not valid"
            ) from None
        except ssl.SSLError:
            raise self.failed("the broker cannot be reached: TLS failed") from None
        except MalformedPacketError:
            raise self.failed("the broker does not speak MQTT 5") from None
        except (OSError, asyncio.IncompleteReadError) as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise  # of the time limit
            raise self.failed(self._lost(error)) from None

    def close(self) -> None:
        """Close the connection without waiting."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _connect(self) -> None:
        settings = self._settings
        host, port = settings.address
        trust = _trust(settings) if settings.uses_tls else None
        self._reader, self._writer = await asyncio.open_connection(
            host, port, ssl=trust, server_hostname=host if trust else None
        )
        password = settings.password.get_secret_value() if settings.password else None
        client_id = f"gateway-{uuid.uuid4().hex[:14]}"
        await self._send(packets.connect(client_id, settings.username, password, _KEEP_ALIVE))
        packet = await self._receive()
        if packet.type != CONNACK:
            raise MalformedPacketError
        self._require_accepted(packet, "the broker refused the connection")

    async def _publish(self) -> int | None:
        message, qos = self._message, self._settings.qos
        self.sent = True
        await self._send(
            packets.publish(message.topic, message.payload, qos, retain=message.retain)
        )
        reason = None
        if qos:
            packet = await self._acknowledgement(PUBACK if qos == 1 else PUBREC)
            reason = self._require_accepted(packet, "the broker refused the message")
        if qos == 2:
            await self._send(packets.pubrel())
            packet = await self._acknowledgement(PUBCOMP)
            self._require_accepted(packet, "the broker refused the message")
        await self._disconnect()
        return reason

    async def _disconnect(self) -> None:
        """Say good-bye, and wait until it is sent. Nothing that happens here matters any more."""
        assert self._writer is not None
        confirmed = self._settings.qos > 0
        with contextlib.suppress(OSError) if confirmed else contextlib.nullcontext():
            await self._send(packets.disconnect())
            self._writer.close()
            await self._writer.wait_closed()

    async def _acknowledgement(self, type_: int) -> Packet:
        packet = await self._receive()
        if packet.type == DISCONNECT:
            raise self.failed(f"the broker ended the connection: {_named(packet.reason())}")
        if packet.type != type_ or not packet.acknowledges():
            raise MalformedPacketError
        return packet

    def _require_accepted(self, packet: Packet, refused: str) -> int:
        """Return the reason code of a packet, or raise if it is that of a failure."""
        reason = packet.reason()
        if reason >= 0x80:
            raise ActionFailedError(
                f"{refused}: {_named(reason)}",
                repeat=Repeat.ALWAYS if reason in _BUSY else Repeat.NEVER,
            )
        return reason

    async def _send(self, packet: bytes) -> None:
        assert self._writer is not None
        self._writer.write(packet)
        await self._writer.drain()

    async def _receive(self) -> Packet:
        assert self._reader is not None
        first = (await self._reader.readexactly(1))[0]
        length = 0
        for place in range(4):
            digit = (await self._reader.readexactly(1))[0]
            length |= (digit & 0x7F) << 7 * place
            if not digit & 0x80:
                break
        else:
            raise MalformedPacketError
        if length > _MAX_PACKET:
            raise MalformedPacketError
        return Packet(first >> 4, await self._reader.readexactly(length))

    def failed(self, message: str, *, timed_out: bool = False) -> ActionFailedError:
        """Return the failure of a message that was not confirmed."""
        return ActionFailedError(
            message,
            repeat=Repeat.IF_IDEMPOTENT if self.sent else Repeat.ALWAYS,
            in_doubt=self.sent,
            timed_out=timed_out,
        )

    def _lost(self, error: Exception) -> str:
        if self.sent:
            return "the connection was lost before the broker confirmed the message"
        if self._writer is not None:
            return "the broker closed the connection before it accepted it"
        if isinstance(error, ConnectionRefusedError):
            return "the broker cannot be reached: it refuses connections"
        if isinstance(error, socket.gaierror):
            return "the broker cannot be reached: its name cannot be resolved"
        return "the broker cannot be reached: there is no connection"


def _named(reason: int) -> str:
    return f"{REASONS.get(reason, 'unknown reason')} (0x{reason:02x})"


def _trust(settings: MqttSettings) -> ssl.SSLContext:
    key = settings.client_key.get_secret_value() if settings.client_key else None
    return _context(settings.ca_certificate, settings.client_certificate, key)


@lru_cache(maxsize=64)
def _context(
    ca_certificate: str | None, certificate: str | None, key: str | None
) -> ssl.SSLContext:
    """Return what verifies the broker, and identifies the gateway to it."""
    try:
        context = ssl.create_default_context(cadata=ca_certificate)
    except (ssl.SSLError, ValueError):
        raise ActionFailedError("the setting ca_certificate holds no certificate") from None
    if certificate is None or key is None:
        return context
    # The library reads files only. This one is readable by its owner only, and is deleted at once.
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{certificate}\n{key}\n")
        file.flush()
        try:
            context.load_cert_chain(file.name, password=lambda: "")
        except (ssl.SSLError, ValueError):
            raise ActionFailedError(
                "the settings client_certificate and client_key do not belong together"
            ) from None
    return context
