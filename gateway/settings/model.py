"""Define every setting: its type, bounds, default and description.

``docs/settings.md`` and the options of ``serve`` are derived from this model; tests compare them.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from resolvers.operations.limits import CostMode

_REDIS_URL = re.compile(r"rediss?://([^@/]*@)?(\[[^]/]+\]|[^@/:]+):[0-9]+(/[0-9]*)?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'+.^_`|~-]+")
_SECRET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
_DEVICES = re.compile(r"http://127\.0\.0\.1:[0-9]{1,5}")
_BASE_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")


class SettingsError(Exception):
    """A setting that the gateway cannot use. The message is one line that names the setting."""


def no_gateway_in(data_dir: Path, missing: str) -> SettingsError:
    """Return the error for a data folder in which no gateway was ever started."""
    return SettingsError(
        f"data_dir: there is no gateway in {data_dir.absolute()} (no {missing}); start one there"
        " with 'process-gateway serve', name the folder of the running one with --data-dir or"
        " GATEWAY_DATA_DIR, or use --database-url and token_secret"
    )


def _check_database_url(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("expected an address that starts with postgresql://")
    return url


def _check_rates(text: str) -> str:
    if not text:
        return text
    from limits import parse_many  # takes as long as everything else that a command imports

    expected = 'expected "" or rates such as "50/second; 1000/minute"'
    try:
        rates = parse_many(text)
    except ValueError:
        raise ValueError(expected) from None
    if any(rate.amount < 1 for rate in rates):
        raise ValueError(expected)
    return text


def _check_redis_url(url: SecretStr) -> SecretStr:
    if not _REDIS_URL.fullmatch(url.get_secret_value()):
        raise ValueError("expected an address such as redis://:password@host:6379/0")
    return url


def _check_devices(url: str) -> str:
    if url and not _DEVICES.fullmatch(url):
        raise ValueError('expected "" or an address such as "http://127.0.0.1:8090"')
    return url


def _check_secret_keys(keys: SecretStr) -> SecretStr:
    for key in keys.get_secret_value().split(","):
        if not _SECRET_KEY.fullmatch(key.strip()):
            raise ValueError(
                "expected keys that 'process-gateway secrets key' has made, separated by commas"
            )
    return keys


def _check_networks(text: str) -> str:
    for network in filter(None, map(str.strip, text.split(","))):
        try:
            ip_network(network)
        except ValueError:
            raise ValueError(
                'expected addresses and networks such as "10.0.0.0/8, 192.168.1.7"'
            ) from None
    return text


def _check_origins(text: str) -> str:
    origins = list(filter(None, map(str.strip, text.split(","))))
    if origins != ["*"] and not all(map(_ORIGIN.fullmatch, origins)):
        raise ValueError(
            'expected "*" or origins as browsers send them, such as "https://app.example,'
            ' http://localhost:5173"'
        )
    return text


def _check_header_names(text: str) -> str:
    if not all(map(_HEADER_NAME.fullmatch, filter(None, map(str.strip, text.split(","))))):
        raise ValueError('expected names of headers such as "Authorization, Content-Type"')
    return text


def _check_base_path(path: str) -> str:
    if not _BASE_PATH.fullmatch(path):
        raise ValueError('expected "" or a path such as "/api/v1", without "/" at the end')
    return path


class Settings(BaseModel):
    """The validated settings of the gateway. ``load_settings`` reads them from the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on; `0.0.0.0` for all interfaces.",
    )
    port: int = Field(
        default=8080, ge=0, le=65535, description="Port to listen on; 0 for any free port."
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="Number of processes that serve the port."
    )
    database_url: Annotated[SecretStr, AfterValidator(_check_database_url)] | None = Field(
        default=None,
        description="URL of a PostgreSQL database, version 15 or later, as "
        "`postgresql://user:password@host/name`. By default the gateway runs an embedded "
        "PostgreSQL in `data_dir`.",
    )
    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] = Field(
        default=Path(".gateway"),
        description="Folder of the embedded PostgreSQL, the token secret and the secret keys.",
    )
    demo: bool = Field(
        default=False, description="Load the demo home at startup unless it is already loaded."
    )
    demo_devices: Annotated[str, AfterValidator(_check_devices)] = Field(
        default="",
        description="Address of `process-gateway demo-devices`, on which the demo home then acts. "
        "By default the sources of a demo home that is loaded return their arguments.",
    )
    token_secret: Annotated[SecretStr, Field(min_length=32)] | None = Field(
        default=None,
        description="Secret that signs access tokens, at least 32 characters. By default the "
        "gateway generates one at the first start and stores it in `data_dir`.",
    )
    secret_keys: Annotated[SecretStr, AfterValidator(_check_secret_keys)] | None = Field(
        default=None,
        description="Keys that encrypt the secrets of sources, made by `process-gateway secrets "
        "key`, newest first and separated by commas. By default a gateway with the embedded "
        "PostgreSQL generates one at the first start and stores it in `data_dir`.",
    )
    introspection: Literal["public", "token", "off"] = Field(
        default="public",
        description="Who may read the GraphQL schema: everyone, clients with a token, or no one.",
    )
    graphiql: bool = Field(default=True, description="Serve GraphiQL to browsers at `/graphql`.")
    process_dialect_status: Literal["http", "always-200"] = Field(
        default="http",
        description="HTTP status of errors in the /process dialect: the matching status, or always "
        "200 for clients that read only the envelope.",
    )
    rest_base_path: Annotated[str, AfterValidator(_check_base_path)] = Field(
        default="",
        description="Path, such as `/api/v1`, under which both dialects are also served.",
    )
    compression: bool = Field(
        default=True,
        description="Compress responses of 1 KiB and more as `Accept-Encoding` asks: zstd, br, "
        "gzip.",
    )
    cors_origins: Annotated[str, AfterValidator(_check_origins)] = Field(
        default="",
        description="Origins of the pages that browsers may let call the gateway, separated by "
        "commas, such as `https://app.example, http://localhost:5173`; `*` for all pages; empty "
        "for no page of another origin.",
    )
    cors_headers: Annotated[str, AfterValidator(_check_header_names)] = Field(
        default="Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match",
        description="Request headers that such pages may send.",
    )
    cors_max_age: int = Field(
        default=7200,
        ge=0,
        description="Seconds that a browser may keep these permissions before it asks again.",
    )
    cors_credentials: bool = Field(
        default=False,
        description="Let browsers add cookies and client certificates to the requests of such "
        "pages, for a proxy in front that reads them. Not together with `cors_origins` = `*`.",
    )
    max_body_bytes: int = Field(
        default=1024 * 1024, ge=1, description="Maximum size of a request body, in bytes."
    )
    max_bulk_body_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=1,
        description="Maximum size of the body of `PUT /processes`, in bytes.",
    )
    max_items: int = Field(
        default=20_000,
        ge=1,
        description="Maximum number of items in all lists of a request body together.",
    )
    rate_limit_address: Annotated[str, AfterValidator(_check_rates)] = Field(
        default="",
        description="Maximum rates of the requests from one client address, such as `50/second` or "
        "`50/second; 1000/minute`; empty for no limit. All addresses of an IPv6 /64 network are "
        "one.",
    )
    rate_limit_token: Annotated[str, AfterValidator(_check_rates)] = Field(
        default="",
        description="Maximum rates of the requests with one token; empty for no limit.",
    )
    redis_url: Annotated[SecretStr, AfterValidator(_check_redis_url)] | None = Field(
        default=None,
        description="URL of a Redis server, as `redis://:password@host:6379/0`, in which all "
        "workers and gateways count requests together. By default each worker counts for itself.",
    )
    trusted_proxies: Annotated[str, AfterValidator(_check_networks)] = Field(
        default="",
        description="Addresses or networks of the proxies in front of the gateway, separated by "
        "commas, such as `10.0.0.0/8, 192.168.1.7`. Behind them, the client address is the last "
        "one in `forwarded_header` that is not theirs.",
    )
    forwarded_header: Literal["X-Forwarded-For", "Forwarded"] = Field(
        default="X-Forwarded-For",
        description="Header to which the trusted proxies append the address of their client.",
    )
    max_connections: int = Field(
        default=0,
        ge=0,
        description="Maximum number of client connections for each worker; 0 for as many as the "
        "limit of open files allows. A further one closes the one that has been idle longest.",
    )
    head_timeout: float = Field(
        default=10,
        gt=0,
        allow_inf_nan=False,
        description="Seconds in which the head of a request must arrive.",
    )
    keepalive_timeout: float = Field(
        default=75,
        gt=0,
        allow_inf_nan=False,
        description="Seconds after which an idle connection is closed.",
    )
    send_timeout: float = Field(
        default=30,
        gt=0,
        allow_inf_nan=False,
        description="Seconds after which a connection is closed whose client does not read a "
        "response.",
    )
    subscription_interval: float = Field(
        default=0.05,
        ge=0.01,
        le=10,
        description="Seconds between two looks at what subscriptions read. One small statement "
        "looks for all of them, and only while there are any.",
    )
    max_socket_subscriptions: int = Field(
        default=100,
        ge=1,
        description="Maximum number of operations of one WebSocket at a time.",
    )
    max_sockets_token: int = Field(
        default=1000,
        ge=0,
        description="Maximum number of WebSockets and event streams that are open with one token, "
        "for each worker; 0 for no limit.",
    )
    socket_ping_interval: float = Field(
        default=30,
        gt=0,
        allow_inf_nan=False,
        description="Seconds of silence after which the gateway pings a WebSocket. After as many "
        "more without an answer it is closed.",
    )
    page_size_default: int = Field(
        default=20,
        ge=1,
        description="Number of nodes per page of a connection without `first` or `last`.",
    )
    page_size_max: int = Field(
        default=100, ge=1, description="Maximum number of nodes per page of a connection."
    )
    pool_min: int = Field(
        default=1, ge=0, description="Minimum number of open database connections."
    )
    pool_max: int = Field(
        default=16, ge=1, description="Maximum number of open database connections."
    )
    pool_timeout: float = Field(
        default=2,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that a request waits for a database connection. Connections are "
        "shared fairly between tokens.",
    )
    statement_timeout: float = Field(
        default=30,
        ge=0,
        allow_inf_nan=False,
        description="Timeout of a database statement, in seconds; 0 for no timeout.",
    )
    statement_cache_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=0,
        description="Maximum memory that PostgreSQL keeps for the prepared statements of one "
        "connection, in bytes (an estimate); 0 for no prepared statements, as PgBouncer in "
        "transaction mode needs it.",
    )
    cost_mode: CostMode = Field(
        default="enforce",
        description="Cost of GraphQL queries: reject those above `max_query_cost`, only measure, "
        "or neither.",
    )
    max_query_cost: int = Field(
        default=1_000_000, ge=1, description="Maximum cost of a GraphQL query."
    )
    max_query_characters: int = Field(
        default=100_000, ge=1, description="Maximum number of characters in a GraphQL document."
    )
    max_query_tokens: int = Field(
        default=1500, ge=1, description="Maximum number of tokens in a GraphQL document."
    )
    max_query_definitions: int = Field(
        default=50,
        ge=1,
        description="Maximum number of operations and fragments in a GraphQL document.",
    )
    max_query_depth: int = Field(
        default=20, ge=1, description="Maximum depth of a GraphQL operation."
    )
    max_query_root_fields: int = Field(
        default=20, ge=1, description="Maximum number of root fields in a GraphQL operation."
    )
    max_query_aliases: int = Field(
        default=200, ge=0, description="Maximum number of aliases in a GraphQL operation."
    )
    max_query_directives: int = Field(
        default=100, ge=0, description="Maximum number of directives in a GraphQL operation."
    )
    max_query_fields: int = Field(
        default=5000,
        ge=1,
        description="Maximum number of fields and parts of filters in a GraphQL operation.",
    )
    operation_cache_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=0,
        description="Memory for cached GraphQL documents and their compiled queries, in bytes.",
    )
    kept_answers_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=0,
        description="Memory of each worker for answers that are sent again while nothing has "
        "changed, in bytes; 0 to keep none.",
    )
    kept_answers_audit: int = Field(
        default=1000,
        ge=0,
        description="One in this many answers from memory is read from the database as well, and "
        "compared; 0 for none.",
    )
    execution_max_steps: int = Field(
        default=1000,
        ge=1,
        description="Maximum number of steps in one execution, including subprocesses.",
    )
    action_timeout: float = Field(
        10, gt=0, le=3600, description="Timeout of one attempt of an action, in seconds."
    )
    execution_timeout: float = Field(
        default=60,
        gt=0,
        allow_inf_nan=False,
        description="Timeout of an execution, in seconds.",
    )
    shutdown_grace: float = Field(
        default=10,
        ge=0,
        allow_inf_nan=False,
        description="Seconds to wait for requests and actions in flight when the gateway stops.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Minimum log level."
    )

    @field_validator("cors_credentials")
    @classmethod
    def _check_credentials(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("cors_origins", "").strip() == "*":
            raise ValueError('expected false, because cors_origins is "*"')
        return value

    @field_validator("page_size_max", "pool_max")
    @classmethod
    def _check_not_below(cls, value: int, info: ValidationInfo) -> int:
        lower = {"page_size_max": "page_size_default", "pool_max": "pool_min"}[
            info.field_name or ""
        ]
        minimum: int = info.data.get(lower, 0)  # missing if it is invalid itself
        if value < minimum:
            raise ValueError(f"expected at least {lower}, which is {minimum}")
        return value
