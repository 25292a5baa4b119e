"""In charge of the command line: ``process-gateway`` and its commands."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import orjson
import uvloop

from gateway.embedded import EmbeddedPostgres, EmbeddedPostgresError
from gateway.server import serve
from gateway.services import compiler_of, dialects_of, open_database
from gateway.settings import Settings, SettingsError, load_settings
from gateway.tokens import TokenKeys, parse_ttl
from resolvers.errors import GatewayError
from rest_compat import RouteError, describe_routes, openapi_document
from storage.access import load_profiles, revoke_token
from storage.database import Database, DatabaseUnavailableError
from storage.demo import generate, load_home

Command = Callable[[argparse.Namespace, Settings], Awaitable[None]]


class _UsageError(Exception):
    """The command cannot be done as it was given; the message says why, in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 1 with one line on stderr that says why."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = load_settings(parsed.config, **_given(parsed))
        logging.basicConfig(
            level=settings.log_level.upper(),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        uvloop.run(parsed.run(parsed, settings))
    except KeyboardInterrupt:
        return 130
    except DatabaseUnavailableError:
        return _fail("the database cannot be reached (setting database_url); see the log above")
    except (SettingsError, EmbeddedPostgresError, RouteError, GatewayError, _UsageError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.strerror or error}")
    return 0


def _fail(message: str) -> int:
    print(f"process-gateway: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="process-gateway",
        description="One GraphQL schema and two legacy REST dialects over one model of processes.",
        epilog="Every setting can also be given as GATEWAY_NAME in the environment or in a TOML"
        " file; docs/settings.md lists them.",
    )
    parser.add_argument("--version", action="version", version=version("process-gateway"))
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    common = argparse.ArgumentParser(add_help=False)
    where = common.add_argument_group("where the data is")
    where.add_argument("--database-url", metavar="URL", help="an external PostgreSQL, 15 or later")
    where.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="folder of the embedded one (.gateway)"
    )
    where.add_argument("--config", type=Path, metavar="FILE", help="a TOML file with settings")

    def command(name: str, run: Command, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[common], help=summary, description=summary)
        added.set_defaults(run=run)
        return added

    serving = command("serve", _serve, "Serve until Ctrl-C or SIGTERM.")
    serving.add_argument("--host", help="address to listen on (127.0.0.1)")
    serving.add_argument("--port", type=int, help="port to listen on (8080); 0 for any free one")
    serving.add_argument(
        "--demo", action="store_true", default=None, help="load the demo home first"
    )
    command("migrate", _migrate, "Bring the database to the schema of this version.")
    demo = command("demo", _demo, "Load the demo home, or generated processes for load work.")
    demo.add_argument("--processes", type=int, metavar="N", help="generate N processes")
    token = command("token", _token, "Print a new access token, alone.")
    token.add_argument("--profile", required=True, metavar="NAME", help="whom it speaks for")
    token.add_argument("--ttl", default="12h", help="how long it is good: 90s, 30m, 12h, 7d (12h)")
    revoke = command("revoke", _revoke, "Make a token worthless before it expires.")
    revoke.add_argument("token", metavar="TOKEN", help="the token")
    command("schema", _schema, "Print the GraphQL schema in SDL.")
    openapi = command("openapi", _openapi, "Print the OpenAPI document of a legacy dialect.")
    openapi.add_argument("dialect", choices=("process", "processes"), help="which one")
    command("routes", _routes, "List the legacy routes: operation and permission of each.")
    return parser


def _given(parsed: argparse.Namespace) -> dict[str, object]:
    """The settings among a command's arguments."""
    return {
        name: value
        for name, value in vars(parsed).items()
        if name in Settings.model_fields and value is not None
    }


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    """The database that the settings name; without one, the embedded server, started if need be."""
    embedded: EmbeddedPostgres | None = None
    if settings.database_url is None:
        embedded = await asyncio.to_thread(EmbeddedPostgres.start, settings.data_dir)
        url = embedded.url
    else:
        url = settings.database_url.get_secret_value()
    try:
        async with open_database(settings, url) as database:
            yield database
    finally:
        if embedded is not None:
            await asyncio.to_thread(embedded.stop)


async def _serve(parsed: argparse.Namespace, settings: Settings) -> None:
    async with _database(settings) as database:
        await serve(settings, database)


async def _migrate(parsed: argparse.Namespace, settings: Settings) -> None:
    async with _database(settings):
        print("the database is up to date")


async def _demo(parsed: argparse.Namespace, settings: Settings) -> None:
    if parsed.processes is not None and parsed.processes < 1:
        raise _UsageError(f"--processes: expected a number from 1, got {parsed.processes}")
    # A million rows take longer than any request may.
    settings = settings.model_copy(update={"statement_timeout": 0})
    async with _database(settings) as database:
        if parsed.processes is not None:
            await generate(database, parsed.processes)
            print(f"generated {parsed.processes:,} processes")
        elif await load_home(database):
            print("loaded the demo home")
        else:
            print("the demo home is loaded already")


async def _token(parsed: argparse.Namespace, settings: Settings) -> None:
    try:
        ttl = parse_ttl(parsed.ttl)
    except ValueError as error:
        raise _UsageError(f"--ttl: {error}") from None
    keys = TokenKeys.from_settings(settings)
    async with _database(settings) as database, database.transaction() as transaction:
        profiles = {profile.name: profile for profile in await load_profiles(transaction)}
    if parsed.profile not in profiles:
        known = ", ".join(profiles)
        raise _UsageError(f'--profile: there is no profile "{parsed.profile}"; there are {known}')
    print(keys.issue(profiles[parsed.profile].id, parsed.profile, ttl))


async def _revoke(parsed: argparse.Namespace, settings: Settings) -> None:
    claims = TokenKeys.from_settings(settings).verify(parsed.token)
    expires_at = datetime.fromtimestamp(claims.expires_at, UTC)
    async with _database(settings) as database, database.transaction() as transaction:
        await revoke_token(transaction, claims.token_id, expires_at)


async def _schema(parsed: argparse.Namespace, settings: Settings) -> None:
    print(compiler_of(settings).sdl())


async def _openapi(parsed: argparse.Namespace, settings: Settings) -> None:
    dialects = {d.name: d for d in dialects_of(settings, compiler_of(settings))}
    document = openapi_document(
        dialects[parsed.dialect],
        version=version("process-gateway"),
        base_path=settings.rest_base_path,
    )
    print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


async def _routes(parsed: argparse.Namespace, settings: Settings) -> None:
    rows = describe_routes(dialects_of(settings, compiler_of(settings)))
    for row in rows:
        print("  ".join(row))
