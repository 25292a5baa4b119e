"""Define the settings of ``mqtt`` sources, and the operations that they declare."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from resolvers.execution.sources.mqtt.packets import MAX_TOPIC
from resolvers.execution.sources.operations import (
    CONTROL,
    PLACEHOLDER,
    OperationArgument,
    Part,
    declared_references,
    texts_in,
)
from resolvers.values.text import Description, Name

PORTS = {"mqtt": 1883, "mqtts": 8883}


def _check_broker_url(url: str) -> str:
    wrong = ValueError("expected an address such as mqtts://broker.example:8883")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in PORTS or not parts.hostname or port == 0:
        raise wrong
    if not url.isascii() or not url.isprintable() or " " in url:
        raise wrong
    if "@" in parts.netloc:
        raise ValueError("must not contain a user or a password: use username and password")
    if parts.path not in ("", "/") or "?" in url or "#" in url:
        raise ValueError("must not contain a path, a query or a fragment")
    return url


def check_topic(topic: str) -> str:
    """Return a topic, perhaps with placeholders, that a message can be published to.

    Raises:
        ValueError: It is not one.
    """
    if not topic:
        raise ValueError("a topic must not be empty")
    if "+" in topic or "#" in topic:
        raise ValueError("a topic to publish to must not contain + or #")
    if CONTROL.search(topic):
        raise ValueError("a topic must not contain a control character")
    if len(topic.encode()) > MAX_TOPIC:
        raise ValueError(f"a topic has at most {MAX_TOPIC:,} bytes")
    return topic


def _check_credential(text: str | None) -> str | None:
    if text is not None and len(text.encode()) > MAX_TOPIC:
        raise ValueError(f"expected at most {MAX_TOPIC:,} bytes")
    return text


class Operation(Part):
    """A message that the source offers as an action.

    ``{reference}`` in the topic and in the texts of the payload stands for the value of an
    argument.
    """

    name: Name = Field(description="Name of the action.")
    topic: Annotated[str, AfterValidator(check_topic)] = Field(
        description="Topic: home/{room}/lamp/set."
    )
    payload: Any = Field(
        None,
        description="JSON payload. A text that is exactly one placeholder becomes the value of the"
        " argument, of its type. Without a payload, it is made of the arguments that have no"
        " placeholder.",
    )
    arguments: list[OperationArgument] = Field(
        default_factory=list, max_length=100, description="Arguments that an action may have."
    )
    retain: bool | None = Field(
        None, description="Whether the broker keeps the message. Defaults to that of the source."
    )
    idempotent: bool | None = Field(
        None, description="Whether it may be repeated. By default a retained message may be."
    )
    description: Description = Field("", description="Description.")

    @model_validator(mode="after")
    def _fits(self) -> Operation:
        used = self.placeholders()
        declared = declared_references(self.arguments, used)
        optional = {argument.reference for argument in self.arguments if not argument.required}
        for reference in PLACEHOLDER.findall(self.topic):
            if reference in optional:
                raise ValueError(f'the argument "{reference}" is in the topic, so it is required')
        if self.payload is not None:
            for reference in sorted(declared - used):
                raise ValueError(f'the argument "{reference}" has no place in the message')
        return self

    def placeholders(self) -> set[str]:
        """Return the references that have a place in the message."""
        texts = [self.topic, *texts_in(self.payload)]
        return {reference for text in texts for reference in PLACEHOLDER.findall(text)}


class MqttSettings(Part):
    """The settings of an ``mqtt`` source."""

    broker_url: Annotated[str, Field(max_length=2000), AfterValidator(_check_broker_url)] = Field(
        description="Address of the broker: mqtt://broker.example, or mqtts:// for TLS."
    )
    username: Annotated[str | None, AfterValidator(_check_credential)] = Field(
        None, description="User name."
    )
    password: SecretStr | None = Field(None, description="Password.")
    client_certificate: str | None = Field(
        None, max_length=100_000, description="Certificates (PEM) that identify the gateway."
    )
    client_key: SecretStr | None = Field(
        None, description="Private key (PEM) of the client certificate."
    )
    ca_certificate: str | None = Field(
        None,
        max_length=100_000,
        description="Certificates (PEM) that sign the broker's certificate, instead of those of"
        " the system.",
    )
    qos: Literal[0, 1, 2] = Field(
        1, description="0: unconfirmed. 1: delivered at least once. 2: delivered exactly once."
    )
    retain: bool = Field(False, description="Whether the broker keeps the last message of a topic.")
    timeout: float | None = Field(
        None,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds that publishing may take. It is never longer than the action may"
        " take.",
    )
    operations: list[Operation] = Field(
        default_factory=list, max_length=500, description="Actions that the source offers."
    )
    only_operations: bool = Field(
        False, description="Whether actions can only name an operation, and not any topic."
    )

    @model_validator(mode="after")
    def _fits(self) -> MqttSettings:
        if (self.client_certificate is None) is not (self.client_key is None):
            raise ValueError("client_certificate and client_key belong together")
        certificates = (self.client_certificate, self.ca_certificate)
        if not self.uses_tls and any(text is not None for text in certificates):
            raise ValueError("certificates need a broker_url that begins with mqtts://")
        names: set[str] = set()
        for operation in self.operations:
            if operation.name in names:
                raise ValueError(f'the operation "{operation.name}" is declared twice')
            names.add(operation.name)
        return self

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.broker_url.startswith("mqtts:")

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port of the broker."""
        parts = urlsplit(self.broker_url)
        assert parts.hostname is not None
        return parts.hostname, parts.port or PORTS[parts.scheme]
