"""In charge of the command line: ``process-gateway`` and its commands.

Commands import what only they need: all that the server is made of takes a second to import, and
most commands do without.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from gateway.auth.tokens import TokenKeys, parse_ttl
from gateway.postgres.open import open_database
from gateway.settings.load import load_settings
from gateway.settings.model import Settings, SettingsError
from resolvers.errors.catalogue import GatewayError
from storage.demo.home import load_home
from storage.demo.load import generate
from storage.writes.access import load_profiles, revoke_token

if TYPE_CHECKING:
    from rest_compat.handler import CompiledDialect

Command = Callable[[argparse.Namespace, Settings], Coroutine[None, None, None]]

_STORAGE_LOG = logging.getLogger("storage.database.errors")


class _CommandError(Exception):
    """The command cannot be done, or not as it was given; the message says why."""


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
        # What ends a command is told in one line; only who keeps serving has a log to tell more in.
        _STORAGE_LOG.disabled = True
        uvloop.run(_stoppable(parsed.run(parsed, settings)))
    except (asyncio.CancelledError, KeyboardInterrupt):
        # To stop is what ends a server well; of any other command something was left undone.
        return 0 if parsed.run is _serve else 130
    except (SettingsError, _CommandError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.strerror or error}")
    return 0


async def _stoppable(command: Coroutine[None, None, None]) -> None:
    """Run a command; SIGINT and SIGTERM cancel it, so that whatever it has opened is closed.

    A second one cancels what the first one waits for: requests in flight.
    """
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await command


def _fail(message: str) -> int:
    print("process-gateway:", *message.split(), file=sys.stderr)
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
    serving.add_argument("--workers", type=int, metavar="N", help="processes that share it (1)")
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


async def _serve(parsed: argparse.Namespace, settings: Settings) -> None:
    from gateway.serve.command import serve
    from rest_compat.dialect import RouteError

    async with open_database(settings) as database:
        _STORAGE_LOG.disabled = False
        try:
            await serve(settings, database)
        except RouteError as error:
            raise _CommandError(str(error)) from error


async def _migrate(parsed: argparse.Namespace, settings: Settings) -> None:
    async with open_database(settings):
        print("the database is up to date")


async def _demo(parsed: argparse.Namespace, settings: Settings) -> None:
    if parsed.processes is not None and parsed.processes < 1:
        raise _CommandError(f"--processes: expected a number from 1, got {parsed.processes}")
    # A million rows take longer than any request may.
    settings = settings.model_copy(update={"statement_timeout": 0})
    async with open_database(settings) as database:
        if parsed.processes is not None:
            try:
                await generate(database, parsed.processes)
            except ValueError as error:
                raise _CommandError(f"--processes: {error}") from error
            print(f"generated {parsed.processes:,} processes")
        elif await load_home(database):
            print("loaded the demo home")
        else:
            print("the demo home is loaded already")


async def _token(parsed: argparse.Namespace, settings: Settings) -> None:
    try:
        ttl = parse_ttl(parsed.ttl)
    except ValueError as error:
        raise _CommandError(f"--ttl: {error}") from None
    keys = TokenKeys.from_settings(settings)
    async with open_database(settings) as database, database.transaction() as transaction:
        profiles = {profile.name: profile for profile in await load_profiles(transaction)}
    if parsed.profile not in profiles:
        known = ", ".join(profiles)
        raise _CommandError(f'--profile: there is no profile "{parsed.profile}"; there are {known}')
    print(keys.issue(profiles[parsed.profile].id, parsed.profile, ttl))


async def _revoke(parsed: argparse.Namespace, settings: Settings) -> None:
    try:
        claims = TokenKeys.from_settings(settings).verify(parsed.token)
    except GatewayError as error:
        raise _CommandError(f"TOKEN: {error}") from error
    expires_at = datetime.fromtimestamp(claims.expires_at, UTC)
    async with open_database(settings) as database, database.transaction() as transaction:
        await revoke_token(transaction, claims.token_id, expires_at)


async def _schema(parsed: argparse.Namespace, settings: Settings) -> None:
    from gateway.services import compiler_of

    print(compiler_of(settings).sdl())


async def _openapi(parsed: argparse.Namespace, settings: Settings) -> None:
    import orjson

    from rest_compat.openapi import openapi_document

    (dialect,) = (found for found in _dialects(settings) if found.name == parsed.dialect)
    document = openapi_document(
        dialect,
        version=version("process-gateway"),
        base_path=settings.rest_base_path,
    )
    print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


async def _routes(parsed: argparse.Namespace, settings: Settings) -> None:
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
        raise _CommandError(str(error)) from error
