"""Define the command line of ``process-gateway``: commands, options, and exit statuses."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal, get_args, get_origin

import uvloop

from gateway import commands
from gateway.settings.load import load_settings
from gateway.settings.model import Settings, SettingsError

_BROKEN_PIPE = 128 + signal.SIGPIPE  # what a shell reports for a program that SIGPIPE ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    The status is 0 on success, 1 after an error that one line on stderr explains, 130 after Ctrl-C,
    and 141 if the reader of the output has gone away. Wrong usage exits with 2.
    """
    try:
        try:
            return _run(_parser().parse_args(arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes again when it exits; that must not fail a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    serves = arguments.run in (commands.serve, commands.demo_devices)
    try:
        settings = load_settings(arguments.config, **_settings_in(arguments))
        logging.basicConfig(
            level=settings.log_level.upper(),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        # An error that ends a command is reported in one line, without the details of the log.
        commands.STORAGE_LOG.disabled = True
        uvloop.run(_stoppable(arguments.run(arguments, settings)))
    except (asyncio.CancelledError, KeyboardInterrupt):
        # A server is meant to be stopped. Any other command was interrupted.
        return 0 if serves else 130
    except (SettingsError, commands.CommandError) as error:
        return _fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        return _fail(f"{error.strerror or error}")
    return 0


async def _stoppable(command: Coroutine[None, None, None]) -> None:
    """Run a command. SIGINT and SIGTERM cancel it, so that it closes what it has opened.

    A second signal cancels the wait that the first one started, for requests in flight.
    """
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await command


def _fail(message: str) -> int:
    print("process-gateway:", *message.split(), file=sys.stderr)
    return 1


def _settings_in(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the settings among a command's arguments."""
    return {
        name: value
        for name, value in vars(arguments).items()
        if name in Settings.model_fields and value is not None
    }


# Parser ------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="process-gateway",
        description="One GraphQL schema and two legacy REST dialects over one model of processes.",
        epilog="Every setting can also be given as GATEWAY_NAME in the environment or in a TOML"
        " file; docs/settings.md lists them.",
    )
    parser.add_argument("--version", action="version", version=version("process-gateway"))
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    common = argparse.ArgumentParser(add_help=False)
    group = common.add_argument_group("configuration")
    shared_settings = ("database_url", "data_dir")
    for name in shared_settings:
        _add_setting(group, name)
    group.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings.")

    def command(
        name: str, run: commands.Command, summary: str, usage: str | None = None
    ) -> argparse.ArgumentParser:
        subparser = subparsers.add_parser(
            name, parents=[common], help=summary, description=summary, usage=usage
        )
        subparser.set_defaults(run=run)
        return subparser

    serve = command(
        "serve",
        commands.serve,
        "Serve until Ctrl-C or SIGTERM.",
        usage="process-gateway serve [options]",
    )
    settings = serve.add_argument_group("settings")
    for name in Settings.model_fields:
        if name not in shared_settings:
            _add_setting(settings, name)
    command("migrate", commands.migrate, "Migrate the database to the schema of this version.")
    demo = command("demo", commands.demo, "Load the demo home, or generated processes.")
    demo.add_argument(
        "--processes", type=int, metavar="N", help="Generate N processes for load tests."
    )
    devices = command(
        "demo-devices",
        commands.demo_devices,
        "Simulate the devices of the demo home, for this machine alone.",
    )
    devices.add_argument(
        "--port",
        dest="device_port",
        type=int,
        default=8090,
        metavar="N",
        help="Port to listen on; 0 for any free port. Default: 8090.",
    )
    token = command("token", commands.token, "Issue an access token, or inspect one.")
    action = token.add_mutually_exclusive_group(required=True)
    action.add_argument("--profile", metavar="NAME", help="Print a new token for this profile.")
    action.add_argument(
        "--inspect",
        type=_read_token,
        metavar="TOKEN",
        help="Print the claims of a token and whether it is valid; - reads it from standard input.",
    )
    token.add_argument(
        "--ttl", default="12h", help="Lifetime of a new token: 90s, 30m, 12h, 7d. Default: 12h."
    )
    revoke = command("revoke", commands.revoke, "Revoke a token.")
    revoke.add_argument(
        "token",
        type=_read_token,
        metavar="TOKEN",
        help="Token to revoke; - reads it from standard input.",
    )
    secrets = command("secrets", commands.secrets, "Encrypt the secrets of sources anew.")
    secrets.add_argument(
        "secrets",
        choices=("rotate", "key"),
        help="rotate: encrypt all secrets with the newest key, which is a new one if it is in"
        " data_dir. key: print a new key for the setting secret_keys.",
    )
    command("schema", commands.schema, "Print the GraphQL schema in SDL.")
    openapi = command("openapi", commands.openapi, "Print the OpenAPI document of a dialect.")
    openapi.add_argument("dialect", choices=("process", "processes"), help="Dialect to describe.")
    command("routes", commands.routes, "List the legacy routes with operation and permission.")
    return parser


def _add_setting(group: argparse._ArgumentGroup, name: str) -> None:
    """Add the option of a setting. Its type, choices and help come from the settings' model."""
    field = Settings.model_fields[name]
    option = "--" + name.replace("_", "-")
    text = (field.description or "").replace("`", "").replace("%", "%%")
    if field.default is not None:
        default = str(field.default).lower() if field.annotation is bool else field.default
        text += f" Default: {default if default != '' else 'none'}."
    if field.annotation is bool:
        group.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=text)
    elif get_origin(field.annotation) is Literal:
        group.add_argument(option, choices=get_args(field.annotation), help=text)
    elif field.annotation is int:
        group.add_argument(option, type=int, metavar="N", help=text)
    elif field.annotation is float:
        group.add_argument(option, type=float, metavar="N", help=text)
    else:
        group.add_argument(option, metavar=name.rpartition("_")[2].upper(), help=text)


def _read_token(argument: str) -> str:
    """Return a token given as an argument; ``-`` reads it from standard input."""
    return sys.stdin.read().strip() if argument == "-" else argument
