"""Define the command line of ``process-gateway``: commands, options, and exit statuses."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal, get_args, get_origin

from gateway import commands
from gateway.loop import exit_status, run_to_end
from gateway.settings.load import load_settings
from gateway.settings.model import Settings, SettingsError
from resolvers.rules.executions import is_key
from resolvers.values.ids import MAX_DATABASE_ID, read_id_of
from resolvers.values.text import shorten, storable

_BROKEN_PIPE = 128 + signal.SIGPIPE  # what a shell reports for a program that SIGPIPE ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    The status is 0 on success, 1 after an error that one line on stderr explains, 130 after Ctrl-C,
    and 141 if the reader of the output has gone away. Wrong usage exits with 2. Commands that
    execute have statuses of their own.
    """
    try:
        try:
            status = _run(_parser().parse_args(arguments))
        finally:
            sys.stdout.flush()
        return status if arguments is not None else exit_status(status)
    except BrokenPipeError:
        # Python flushes again when it exits; that must not fail a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    try:
        settings = load_settings(arguments.config, **_settings_in(arguments))
        logging.basicConfig(
            level=settings.log_level.upper(),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        # An error that ends a command is reported in one line, without the details of the log.
        commands.STORAGE_LOG.disabled = True
        status = run_to_end(_stoppable(arguments.run(arguments, settings)))
    except (asyncio.CancelledError, KeyboardInterrupt):
        # A server is meant to be stopped. Any other command was interrupted.
        return 0 if arguments.serves else 130
    except (SettingsError, commands.CommandError) as error:
        return _fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        return _fail(f"{error.strerror or error}")
    return status or 0


async def _stoppable(command: Coroutine[None, None, int | None]) -> int | None:
    """Run a command. SIGINT and SIGTERM cancel it, so that it closes what it has opened.

    A second signal cancels the wait that the first one started, for requests in flight.
    """
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await command


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
        subparser.set_defaults(run=run, serves=False)
        return subparser

    serve = command(
        "serve",
        commands.serve,
        "Serve until Ctrl-C or SIGTERM.",
        usage="process-gateway serve [options]",
    )
    serve.set_defaults(serves=True)
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
    devices.set_defaults(serves=True)
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
    _add_execution_commands(command)
    command("schema", commands.schema, "Print the GraphQL schema in SDL.")
    openapi = command("openapi", commands.openapi, "Print the OpenAPI document of a dialect.")
    openapi.add_argument("dialect", choices=("process", "processes"), help="Dialect to describe.")
    command("routes", commands.routes, "List the legacy routes with operation and permission.")
    return parser


def _add_execution_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands that execute processes, and watch or end executions."""
    run = command(
        "run",
        _executing("run"),
        "Execute a process as admin, and show its steps. Exits with 0 if it succeeded, 1 if not,"
        " 3 if a step is in doubt.",
    )
    run.add_argument("reference", metavar="REFERENCE", help="Reference of the process.")
    run.add_argument(
        "--input",
        type=_read_input,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="Value of an input. Can be repeated.",
    )
    run.add_argument("--dry-run", action="store_true", help="Only record what would be done.")
    replay = command(
        "replay",
        _executing("replay"),
        "Execute again from a step on, and show the steps. Exits like run.",
    )
    replay.add_argument("id", type=_read_id, metavar="ID", help="Execution to repeat.")
    replay.add_argument(
        "--from",
        dest="first",
        type=int,
        required=True,
        metavar="N",
        help="Position of the first step to run. Those before are skipped.",
    )
    replay.add_argument(
        "--current", action="store_true", help="Run the process as it is now, not as it was."
    )
    for subparser in (run, replay):
        subparser.add_argument(
            "--key",
            type=_read_key,
            help="Idempotency key: repeated within 24 hours, it shows the first execution.",
        )
        subparser.add_argument(
            "--timeout-wait",
            type=_read_seconds,
            metavar="SECONDS",
            help="Seconds to wait for the end. After that, other workers go on with it.",
        )
    trace = command("trace", _executing("trace"), "Show the record of an execution.")
    trace.add_argument("id", type=_read_id, metavar="ID", help="Execution to show.")
    trace.add_argument(
        "--follow", action="store_true", help="Show it until it ends, and exit like run."
    )
    for subparser in (run, replay, trace):
        subparser.add_argument("--json", action="store_true", help="Print the record as JSON.")
    cancel = command("cancel", _executing("cancel"), "Cancel an execution.")
    cancel.add_argument("id", type=_read_id, metavar="ID", help="Execution to cancel.")
    worker = command(
        "worker",
        _executing("worker"),
        "Execute what other workers left, until Ctrl-C or SIGTERM. Serves nothing.",
    )
    worker.set_defaults(serves=True)


def _executing(name: str) -> commands.Command:
    """Return a command of the module that is imported only when one of them runs."""

    async def run(arguments: argparse.Namespace, settings: Settings) -> int | None:
        from gateway import execution_commands

        command: commands.Command = getattr(execution_commands, name)
        return await command(arguments, settings)

    return run


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


def _read_input(argument: str) -> tuple[str, str]:
    """Return the name and the value of an input."""
    name, equals, value = argument.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {shorten(argument)}")
    return name, _storable(value)


def _storable(text: str) -> str:
    try:
        return storable(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _read_id(argument: str) -> int:
    """Return the database ID of an execution; GraphQL's ID is accepted too."""
    if argument.isdecimal() and argument.isascii():
        if len(argument) <= 10 and 0 < int(argument) <= MAX_DATABASE_ID:
            return int(argument)
        raise argparse.ArgumentTypeError(f"expected a positive 32-bit number, got {argument[:40]}")
    try:
        return read_id_of(argument, "Execution")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _read_key(argument: str) -> str:
    """Return an idempotency key."""
    if not is_key(argument):
        raise argparse.ArgumentTypeError("expected 1 to 255 printable ASCII characters")
    return argument


def _read_seconds(argument: str) -> float:
    """Return a number of seconds that is not negative."""
    try:
        seconds = float(argument)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(
            f"expected a number of seconds from 0, got {shorten(argument)}"
        )
    return seconds
