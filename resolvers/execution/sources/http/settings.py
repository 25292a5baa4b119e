"""Define the settings of ``http`` sources, and the operations that they declare."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from resolvers.execution.sources.operations import (
    CONTROL,
    PLACEHOLDER,
    OperationArgument,
    Part,
    declared_references,
    texts_in,
)
from resolvers.values.text import Description, Name

SECRET = "{secret}"  # noqa: S105 - a placeholder
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_PATH = re.compile(r"/(?:[A-Za-z0-9/._~!$&'()*+,;=:@?-]|%[0-9A-Fa-f]{2})*")
"""A path and perhaps a query, with its placeholders removed."""
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,255}")
_OWN_HEADERS = frozenset(
    [
        "connection",
        "content-length",
        "expect",
        "host",
        "idempotency-key",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
"""Headers that the gateway itself writes, or that belong to a connection."""


def _check_base_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("expected an address such as https://lamps.example/api") from None
    plain = parts.path.replace(SECRET, "")
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or port == 0
        or not url.isascii()
        or not url.isprintable()
        or any(character in url for character in ' "<>\\^`|')
    ):
        raise ValueError("expected an address such as https://lamps.example/api")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user or a password: use headers and secret")
    if "?" in url or "#" in url:
        raise ValueError("must not contain a query or a fragment")
    if plain and not _PATH.fullmatch(plain):
        raise ValueError("its path contains a character that has to be escaped")
    if has_dot_segment(parts.path):
        raise ValueError("its path contains a segment . or ..")
    return url.rstrip("/")


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"the header {name} cannot be set")
        if CONTROL.search(value):
            raise ValueError(f"the header {name} contains a control character")
    return headers


def _check_network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise ValueError("expected a network such as 192.168.1.0/24") from None
    return text


def has_dot_segment(path: str) -> bool:
    """Whether a path has a segment ``.`` or ``..``, also where a server would unescape one."""
    return any(part in (".", "..") for part in re.split(r"[/\\]", unquote(path)))


Headers = Annotated[
    dict[str, str], Field(default_factory=dict, max_length=50), AfterValidator(_check_headers)
]


class Operation(Part):
    """A request that the source offers as an action.

    ``{reference}`` in the path, the query, the headers and the texts of the body stands for the
    value of an argument.
    """

    name: Name = Field(description="Name of the action.")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field(
        description="HTTP method."
    )
    path: str = Field(
        max_length=4000, description="Path and perhaps query, added to the base URL: /lamps/{lamp}."
    )
    headers: Headers = Field(description="Headers of this request.")
    body: Any = Field(
        None,
        description="JSON body. A text that is exactly one placeholder becomes the value of the"
        " argument, of its type. Without a body, the arguments that have no placeholder are the"
        " members of an object.",
    )
    arguments: list[OperationArgument] = Field(
        default_factory=list, max_length=100, description="Arguments that an action may have."
    )
    idempotent: bool | None = Field(
        None,
        description="Whether it may be repeated. By default GET, HEAD, PUT and DELETE may be.",
    )
    description: Description = Field("", description="Description.")

    @model_validator(mode="after")
    def _fits(self) -> Operation:
        plain = PLACEHOLDER.sub("", self.path)
        if not _PATH.fullmatch(plain):
            raise ValueError(
                "expected a path such as /lamps/{lamp}, with other characters escaped,"
                " and no fragment"
            )
        path = self.path.partition("?")[0]
        if has_dot_segment(path):
            raise ValueError("the path contains a segment . or ..")
        used = self.placeholders()
        declared = declared_references(self.arguments, used)
        optional = {argument.reference for argument in self.arguments if not argument.required}
        for reference in PLACEHOLDER.findall(path):
            if reference in optional:
                raise ValueError(f'the argument "{reference}" is in the path, so it is required')
        if self.body is not None:
            if self.method in ("GET", "HEAD", "DELETE"):
                raise ValueError(f"a {self.method} request has no body")
            for reference in sorted(declared - used):
                raise ValueError(f'the argument "{reference}" has no place in the request')
        return self

    def placeholders(self) -> set[str]:
        """Return the references that have a place in the request."""
        texts = [self.path, *self.headers.values(), *texts_in(self.body)]
        return {reference for text in texts for reference in PLACEHOLDER.findall(text)}

    @property
    def may_be_repeated(self) -> bool:
        """Whether the request has the same effect if it is sent twice."""
        if self.idempotent is None:
            return self.method in ("GET", "HEAD", "PUT", "DELETE")
        return self.idempotent


class HttpSettings(Part):
    """The settings of an ``http`` source."""

    base_url: Annotated[str, Field(max_length=2000), AfterValidator(_check_base_url)] = Field(
        description="Address of the API, without the paths of operations. {secret} may be in its"
        " path."
    )
    headers: Headers = Field(
        description="Headers of every request. {secret} stands for the secret: Bearer {secret}."
    )
    secret: SecretStr | None = Field(
        None, description="What {secret} stands for in the headers and in the path of the base URL."
    )
    timeout: float | None = Field(
        None,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds that a request may take. It is never longer than the action may take.",
    )
    allow_networks: list[Annotated[str, AfterValidator(_check_network)]] = Field(
        default_factory=list,
        max_length=100,
        description="Networks that the source may connect to in addition to public addresses:"
        " 192.168.1.0/24, 127.0.0.1/32.",
    )
    ca_certificate: str | None = Field(
        None,
        max_length=100_000,
        description="Certificates (PEM) that sign the server's certificate, instead of those of"
        " the system.",
    )
    operations: list[Operation] = Field(
        default_factory=list, max_length=500, description="Actions that the source offers."
    )
    only_operations: bool = Field(
        False,
        description="Whether actions can only name an operation, and not any request such as"
        " GET /lamps/{lamp}.",
    )

    @model_validator(mode="after")
    def _fits(self) -> HttpSettings:
        names: set[str] = set()
        for operation in self.operations:
            if operation.name in names:
                raise ValueError(f'the operation "{operation.name}" is declared twice')
            names.add(operation.name)
        texts = [self.base_url, *self.headers.values()]
        if self.secret is None and any(SECRET in text for text in texts):
            raise ValueError("{secret} is used, and there is no secret")
        if self.secret is not None:
            if not any(SECRET in text for text in texts):
                raise ValueError("the secret is used nowhere: write {secret} into a header")
            secret = self.secret.get_secret_value()
            if CONTROL.search(secret):
                raise ValueError("the secret contains a control character")
            if SECRET in self.base_url and (not secret or has_dot_segment(secret)):
                raise ValueError("the secret cannot be a part of a path")
        return self
