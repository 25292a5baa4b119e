"""Write and read the packets of MQTT 5 that publishing one message needs. Pure functions.

Source: MQTT Version 5.0, OASIS Standard, sections 2 and 3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT = 2, 4, 5, 6, 7, 14
"""Types of packets."""

PACKET_ID = 1
"""The identifier of the message. There is one on a connection."""
MAX_TOPIC = 65_535
"""Bytes of a topic at the most."""

REASONS = {
    0x00: "success",
    0x04: "disconnect with will message",
    0x10: "no matching subscribers",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    0x84: "unsupported protocol version",
    0x85: "client identifier not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keep alive timeout",
    0x8E: "session taken over",
    0x90: "topic name invalid",
    0x91: "packet identifier in use",
    0x92: "packet identifier not found",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9A: "retain not supported",
    0x9B: "QoS not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9F: "connection rate exceeded",
}
"""The reason codes that a server may send, in the words of the standard."""
OLD_REASONS = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
"""The codes with which a server that speaks MQTT 3.1.1 only refuses a connection."""


class MalformedPacketError(Exception):
    """A packet is not what the standard says."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that was received."""

    type: int
    body: bytes
    """What follows the fixed header."""

    def acknowledges(self) -> bool:
        """Whether it acknowledges the message.

        Raises:
            MalformedPacketError: It has no packet identifier.
        """
        if len(self.body) < 2:
            raise MalformedPacketError
        return int.from_bytes(self.body[:2]) == PACKET_ID

    def reason(self) -> int:
        """Return the reason code, which is left out where it is 0.

        Raises:
            MalformedPacketError: It is not complete.
        """
        if self.type == CONNACK:
            if len(self.body) < 2:
                raise MalformedPacketError
            code = self.body[1]
            return OLD_REASONS.get(code, code)
        index = 0 if self.type == DISCONNECT else 2
        return self.body[index] if len(self.body) > index else 0


def connect(client_id: str, user: str | None, password: str | None, keep_alive: int) -> bytes:
    """Return CONNECT with a clean start, and without a will or properties."""
    flags = 0x02 | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    body = _text("MQTT") + bytes([5, flags]) + struct.pack("!H", keep_alive) + b"\0"
    body += _text(client_id)
    for part in (user, password):
        if part is not None:
            body += _text(part)
    return _packet(0x10, body)


def publish(topic: str, payload: bytes, qos: int, *, retain: bool) -> bytes:
    """Return PUBLISH without properties."""
    identifier = struct.pack("!H", PACKET_ID) if qos else b""
    return _packet(0x30 | qos << 1 | retain, _text(topic) + identifier + b"\0" + payload)


def pubrel() -> bytes:
    """Return PUBREL, the second step of QoS 2."""
    return _packet(0x62, struct.pack("!H", PACKET_ID))


def disconnect() -> bytes:
    """Return DISCONNECT, after which a server forgets the connection without its will."""
    return _packet(0xE0, b"")


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + length(len(body)) + body


def length(number: int) -> bytes:
    """Return a number as a variable byte integer."""
    encoded = bytearray()
    while True:
        number, digit = divmod(number, 128)
        encoded.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(encoded)
