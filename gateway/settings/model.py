"""In charge of the settings: what can be set, where a value comes from, and what a wrong one says.

A value given on the command line wins over a ``GATEWAY_*`` variable, that over the TOML file, that
over the default. ``docs/settings.md`` is the table for people; a test holds the two together.
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
        raise ValueError('expected "" or a path such as "/api/v1", with no "/" at its end')
    return path


class Settings(BaseModel):
    """Every setting of the gateway, checked. ``load_settings`` makes one from where it runs."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    host: str = Field(
        default="127.0.0.1", min_length=1, description="The address to listen on; `0.0.0.0` is all."
    )
    port: int = Field(
        default=8080, ge=0, le=65535, description="The port to listen on; 0 takes any free one."
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="Processes that serve the port together."
    )
    database_url: Annotated[SecretStr, AfterValidator(_check_database_url)] | None = Field(
        default=None,
        description="The PostgreSQL (15 or later) to use, as `postgresql://user:password@host/name`"
        "; without one, the gateway starts its own in `data_dir`.",
    )
    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] = Field(
        default=Path(".gateway"),
        description="The folder for the gateway's own PostgreSQL and its token secret.",
    )
    demo: bool = Field(
        default=False, description="Load the demo home at the start, unless it is there."
    )
    token_secret: Annotated[SecretStr, Field(min_length=32)] | None = Field(
        default=None,
        description="What tokens are signed with, 32 characters or more; without one, the gateway "
        "makes one at the first start and keeps it in `data_dir`.",
    )
    introspection: Literal["public", "token", "off"] = Field(
        default="public",
        description="Who may read the GraphQL schema: anyone, the holder of a token, or nobody.",
    )
    graphiql: bool = Field(default=True, description="Serve GraphiQL to browsers at `/graphql`.")
    process_dialect_status: Literal["http", "always-200"] = Field(
        default="http",
        description="The HTTP status of the /process dialect's errors: the fitting one, or 200 for "
        "clients that read only the envelope.",
    )
    rest_base_path: Annotated[str, AfterValidator(_check_base_path)] = Field(
        default="",
        description="A path, such as `/api/v1`, below which both dialects are served as well.",
    )
    max_body_bytes: int = Field(
        default=1024 * 1024, ge=1, description="The longest request body, in bytes."
    )
    max_bulk_body_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=1,
        description="The longest body of `PUT /processes`, in bytes.",
    )
    rate_limit: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="Requests per second that one client address may make; 0 is no limit.",
    )
    rate_burst: int = Field(
        default=100,
        ge=1,
        description="Requests that a client address may make at once before `rate_limit` holds.",
    )
    page_size_default: int = Field(
        default=20, ge=1, description="Nodes on a page of a connection that asks for no number."
    )
    page_size_max: int = Field(
        default=100, ge=1, description="The most nodes that a page of a connection may have."
    )
    pool_min: int = Field(
        default=1, ge=0, description="Database connections that are kept open when idle."
    )
    pool_max: int = Field(default=16, ge=1, description="The most database connections.")
    statement_timeout: float = Field(
        default=30,
        ge=0,
        allow_inf_nan=False,
        description="Seconds after which a database statement is given up; 0 is never.",
    )
    statement_cache_size: int = Field(
        default=1000,
        ge=0,
        description="Prepared statements that each connection keeps; 0 behind PgBouncer in "
        "transaction mode.",
    )
    max_query_tokens: int = Field(
        default=4000, ge=1, description="The most tokens of a GraphQL document."
    )
    max_query_depth: int = Field(
        default=20, ge=1, description="The deepest nesting of fields in a GraphQL operation."
    )
    operation_cache_size: int = Field(
        default=1000, ge=1, description="GraphQL operations that are kept compiled."
    )
    execution_max_steps: int = Field(
        default=1000, ge=1, description="The most steps of one execution, sub-processes included."
    )
    execution_timeout: float = Field(
        default=60,
        gt=0,
        allow_inf_nan=False,
        description="Seconds after which an execution is given up.",
    )
    shutdown_grace: float = Field(
        default=10,
        ge=0,
        allow_inf_nan=False,
        description="Seconds that requests in flight may take to finish when the gateway stops.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least grave messages that are logged."
    )

    @field_validator("page_size_max", "pool_max")
    @classmethod
    def _check_not_below(cls, value: int, info: ValidationInfo) -> int:
        lower = {"page_size_max": "page_size_default", "pool_max": "pool_min"}[
            info.field_name or ""
        ]
        least: int = info.data.get(lower, 0)  # absent where it is itself wrong
        if value < least:
            raise ValueError(f"expected at least {lower}, which is {least}")
        return value
