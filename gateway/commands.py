"""Run the commands of ``process-gateway``.

A command imports what only it needs: importing the whole server takes a second, and most commands
do without it.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from gateway.auth.tokens import Claims, TokenKeys, parse_ttl
from gateway.demo_broker import broker_url
from gateway.postgres.open import open_database
from gateway.settings.model import Settings
from resolvers.errors.catalogue import GatewayError
from resolvers.values.text import shorten
from storage.demo.home import load_home
from storage.demo.load import generate
from storage.writes.access import load_profiles, load_revocations, revoke_token

if TYPE_CHECKING:
    from rest_compat.handler import CompiledDialect

STORAGE_LOG = logging.getLogger("storage.database.outage")
"""Logs failures of the database. It is enabled while the server runs."""

Command = Callable[[argparse.Namespace, Settings], Coroutine[None, None, "int | None"]]
"""Returns the exit status; None for 0."""


class CommandError(Exception):
    """A command cannot be run, or not with these arguments. The message says why."""


# Commands that may create a gateway --------------------------------------------------------------


async def serve(arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve until the task is canceled."""
    from gateway.serve.command import serve
    from rest_compat.dialect import RouteError

    async with open_database(settings, create=True) as database:
        STORAGE_LOG.disabled = False
        try:
            await serve(settings, database)
        except RouteError as error:
            raise CommandError(str(error)) from error


async def migrate(arguments: argparse.Namespace, settings: Settings) -> None:
    """Migrate the database."""
    async with open_database(settings, create=True):
        _create_token_secret(settings)
        print("the database is up to date")


async def demo(arguments: argparse.Namespace, settings: Settings) -> None:
    """Load the demo home or generate processes."""
    if arguments.processes is not None and arguments.processes < 1:
        raise CommandError(f"--processes: expected a number from 1, got {arguments.processes}")
    # Writing a million rows takes longer than any request may.
    settings = settings.model_copy(update={"statement_timeout": 0})
    async with open_database(settings, create=True) as database:
        _create_token_secret(settings)
        if arguments.processes is not None:
            try:
                await generate(database, arguments.processes)
            except ValueError as error:
                raise CommandError(f"--processes: {error}") from error
            print(f"generated {arguments.processes:,} processes")
        elif await load_home(database, settings.demo_devices, broker_url(settings.demo_devices)):
            print("loaded the demo home")
        else:
            print("the demo home is already loaded")


async def demo_devices(arguments: argparse.Namespace, settings: Settings) -> None:
    """Simulate the devices of the demo home until the task is canceled."""
    from gateway.demo_devices import serve_devices

    await serve_devices(arguments.device_port)


def _create_token_secret(settings: Settings) -> None:
    """Complete the data folder of a gateway that runs its own PostgreSQL.

    ``token`` then works before the first start of the server. With an external database the data
    folder is left alone: the server may run elsewhere, with a secret of its own.
    """
    if settings.database_url is None:
        TokenKeys.from_settings(settings, create=True)


# Secrets of sources ------------------------------------------------------------------------------


async def secrets(arguments: argparse.Namespace, settings: Settings) -> None:
    """Encrypt the secrets of sources anew, or print a new key."""
    from gateway.auth.secret_keys import add_key, key_file, secret_box
    from resolvers.execution.secrets import SecretError, new_key
    from resolvers.execution.stored_sources import encrypt_anew

    if arguments.secrets == "key":
        print(new_key())
        return
    async with open_database(settings) as database:
        if settings.secret_keys is None and settings.database_url is None:
            add_key(key_file(settings))
        try:
            count = await encrypt_anew(database, secret_box(settings))
        except SecretError as error:
            raise CommandError(f"secret_keys: {error}") from error
    print(f"encrypted the secrets of {count:,} sources")


# Tokens ------------------------------------------------------------------------------------------


async def token(arguments: argparse.Namespace, settings: Settings) -> None:
    """Issue a token or inspect one."""
    if arguments.inspect is not None:
        await _inspect_token(arguments.inspect, settings)
    else:
        await _issue_token(arguments.profile, arguments.ttl, settings)


async def _issue_token(profile_name: str, ttl_text: str, settings: Settings) -> None:
    try:
        ttl = parse_ttl(ttl_text)
    except ValueError as error:
        raise CommandError(f"--ttl: {error}") from None
    keys = TokenKeys.from_settings(settings)
    async with open_database(settings) as database, database.transaction() as transaction:
        profiles = {profile.name: profile for profile in await load_profiles(transaction)}
    if profile_name not in profiles:
        known = ", ".join(profiles)
        raise CommandError(f'--profile: there is no profile "{profile_name}"; there are {known}')
    print(keys.issue(profiles[profile_name].id, profile_name, ttl))


async def _inspect_token(text: str, settings: Settings) -> None:
    keys = TokenKeys.from_settings(settings)
    claims = keys.decode(text)
    if claims is not None:
        name = claims.profile_name
        print(
            "profile ", name if name.isprintable() else shorten(name), f"(id {claims.profile_id})"
        )
        print("id      ", claims.token_id)
        print("issued  ", datetime.fromtimestamp(claims.issued_at, UTC).isoformat(sep=" "))
        print("expires ", datetime.fromtimestamp(claims.expires_at, UTC).isoformat(sep=" "))
    problem = await _token_problem(text, keys, settings)
    print("valid   ", "no" if problem else "yes")
    if problem:
        raise CommandError(f"TOKEN: {problem}")


async def _token_problem(text: str, keys: TokenKeys, settings: Settings) -> str | None:
    """Return why the gateway rejects a token, or None if it accepts it."""
    try:
        claims = keys.verify(text)
    except GatewayError as error:
        return str(error)
    async with open_database(settings) as database, database.transaction() as transaction:
        if claims.token_id in await load_revocations(transaction):
            return "the token was revoked"
        if all(claims.profile_id != profile.id for profile in await load_profiles(transaction)):
            return "the profile that the token was made for is gone"
    return None


async def revoke(arguments: argparse.Namespace, settings: Settings) -> None:
    """Revoke a token."""
    try:
        claims: Claims = TokenKeys.from_settings(settings).verify(arguments.token)
    except GatewayError as error:
        raise CommandError(f"TOKEN: {error}") from error
    expires_at = datetime.fromtimestamp(claims.expires_at, UTC)
    async with open_database(settings) as database, database.transaction() as transaction:
        await revoke_token(transaction, claims.token_id, expires_at)


# Documents that need no database -----------------------------------------------------------------


async def schema(arguments: argparse.Namespace, settings: Settings) -> None:
    """Print the GraphQL schema."""
    from gateway.services import compiler_of

    print(compiler_of(settings).sdl())


async def openapi(arguments: argparse.Namespace, settings: Settings) -> None:
    """Print the OpenAPI document of a dialect."""
    import orjson

    from rest_compat.openapi.document import openapi_document

    (dialect,) = (item for item in _dialects(settings) if item.name == arguments.dialect)
    document = openapi_document(
        dialect,
        version=version("process-gateway"),
        base_path=settings.rest_base_path,
    )
    print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


async def routes(arguments: argparse.Namespace, settings: Settings) -> None:
    """Print a table of the legacy routes."""
    from rest_compat.dialects import describe_routes

    rows = describe_routes(_dialects(settings))
    names = ("DIALECT", "METHOD", "PATH", "OPERATION", "PERMISSION")
    header = [name.ljust(len(cell)) for name, cell in zip(names, rows[0], strict=True)]
    for row in (header, *rows):
        print("  ".join(row).rstrip())


def _dialects(settings: Settings) -> Sequence[CompiledDialect]:
    from gateway.services import compiler_of, dialects_of
    from rest_compat.dialect import RouteError

    try:
        return dialects_of(settings, compiler_of(settings))
    except RouteError as error:
        raise CommandError(str(error)) from error
