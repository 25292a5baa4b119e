"""Define every setting: its type, bounds, default and description.

``docs/settings.md`` and the options of ``serve`` are derived from this model; tests compare them.
"""

from __future__ import annotations

import re
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
        description="Folder of the embedded PostgreSQL and the token secret.",
    )
    demo: bool = Field(
        default=False, description="Load the demo home at startup unless it is already loaded."
    )
    token_secret: Annotated[SecretStr, Field(min_length=32)] | None = Field(
        default=None,
        description="Secret that signs access tokens, at least 32 characters. By default the "
        "gateway generates one at the first start and stores it in `data_dir`.",
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
    rate_limit: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="Maximum requests per second from one client address; 0 for no limit.",
    )
    rate_burst: int = Field(
        default=100,
        ge=1,
        description="Requests that a client address may send at once before `rate_limit` applies.",
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
    statement_timeout: float = Field(
        default=30,
        ge=0,
        allow_inf_nan=False,
        description="Timeout of a database statement, in seconds; 0 for no timeout.",
    )
    statement_cache_size: int = Field(
        default=1000,
        ge=0,
        description="Number of prepared statements to cache per connection; 0 behind PgBouncer in "
        "transaction mode.",
    )
    max_query_tokens: int = Field(
        default=4000, ge=1, description="Maximum number of tokens in a GraphQL document."
    )
    max_query_depth: int = Field(
        default=20, ge=1, description="Maximum depth of a GraphQL operation."
    )
    operation_cache_size: int = Field(
        default=1000, ge=1, description="Number of compiled GraphQL operations to cache."
    )
    execution_max_steps: int = Field(
        default=1000,
        ge=1,
        description="Maximum number of steps in one execution, including subprocesses.",
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
        description="Seconds to wait for requests in flight when the gateway stops.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Minimum log level."
    )

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
