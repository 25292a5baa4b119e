"""Test every command in real processes, as its help and docs/settings.md describe it."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from gateway.auth.tokens import TokenKeys
from gateway.cli import main
from gateway.services import compiler_of
from gateway.settings.model import Settings
from tests.conftest import SECRET, in_database
from tests.gateway.programs import (
    fetch,
    free_port,
    postmaster,
    require_program,
    run,
    serving,
    until,
)

WITH_SECRET = {"GATEWAY_TOKEN_SECRET": SECRET}
COMMANDS = (
    *("serve", "migrate", "demo", "demo-devices", "token", "revoke", "secrets"),
    *("run", "replay", "trace", "cancel", "worker"),
    *("schema", "openapi", "routes"),
)


# Results ----------------------------------------------------------------------------------------


def test_help_lists_the_commands() -> None:
    ran = run("--help")
    assert ran.returncode == 0
    listed = re.findall(r"^    ([\w-]+)(?: |$)", ran.stdout, re.MULTILINE)
    assert tuple(listed) == COMMANDS
    assert "GATEWAY_" in ran.stdout
    assert "TOML" in ran.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_explains_its_arguments(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for option in ("--database-url URL", "--data-dir DIR", "--config FILE"):
        assert re.search(rf"^  {option}\s+\w", text, re.MULTILINE), f"{option} is not explained"
    # Every argument is explained on its line or on the next.
    arguments = re.findall(
        r"^  ((?:-|\w)[^\s:]*(?: [A-Z]+)?)(?:\s{2,}(\S.*))?$", text, re.MULTILINE
    )
    following = text.splitlines()
    for argument, explained in arguments:
        line = next(n for n, line in enumerate(following) if line.startswith(f"  {argument}"))
        assert explained or following[line + 1].startswith(" " * 20), f"{argument} is not explained"


def test_token_prints_only_the_token(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    migrated = run("migrate", "--data-dir", data_dir)
    assert migrated.returncode == 0, migrated.stderr
    assert "migrated: model" in migrated.stderr
    ran = run("token", "--profile", "guest", "--ttl", "90s", "--data-dir", data_dir)
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", ran.stdout)
    secret = data_dir / "token-secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    claims = TokenKeys(secret.read_text().strip()).verify(ran.stdout.strip())
    assert claims.profile_id == 3
    assert not postmaster(data_dir), "the server that the command started still runs"


def test_migrate_and_demo_can_be_repeated(postgres: str, database_url: str) -> None:
    def answer(*arguments: object) -> str:
        ran = run(*arguments, "--database-url", database_url)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert answer("migrate") == "the database is up to date\n"
    assert answer("demo") == "loaded the demo home\n"
    assert answer("demo") == "the demo home is already loaded\n"
    assert answer("demo", "--processes", 1234) == "generated 1,234 processes\n"


def test_a_revoked_token_is_rejected_at_once(database_url: str) -> None:
    there = ("--database-url", database_url)
    with serving(*there, **WITH_SECRET) as server:
        token, other_token = (
            run("token", "--profile", "admin", *there, variables=WITH_SECRET).stdout.strip()
            for _ in range(2)
        )
        server.ready()
        assert server.get("/processes", token) == (200, {"processes": []})
        revoked = run("revoke", token, *there, variables=WITH_SECRET)
        assert (revoked.returncode, revoked.stdout, revoked.stderr) == (0, "", "")
        until(lambda: server.get("/processes", token)[0] == 401, "the rejection", 2)
        assert server.get("/process", token)[1]["code"] == "unauthenticated"
        _, answer = fetch(f"{server.url}/graphql", token, {"query": "{ viewer { profile } }"})
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert server.get("/processes", other_token)[0] == 200
        # Revoking it twice is not an error.
        assert run("revoke", token, *there, variables=WITH_SECRET).returncode == 0
        server.stop()


@pytest.fixture(scope="module")
def nowhere() -> Mapping[str, str]:
    """Settings of a gateway whose database is unreachable."""
    return {"GATEWAY_DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/none"}


def test_schema_prints_the_schema(nowhere: Mapping[str, str]) -> None:
    ran = run("schema", variables=nowhere)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.rstrip() == compiler_of(Settings()).sdl().rstrip()


@pytest.mark.parametrize("dialect", ["process", "processes"])
def test_openapi_prints_a_valid_document(nowhere: Mapping[str, str], dialect: str) -> None:
    variables = {**nowhere, "GATEWAY_REST_BASE_PATH": "/api/v1"}
    ran = run("openapi", dialect, variables=variables)
    assert (ran.returncode, ran.stderr) == (0, "")
    document = json.loads(ran.stdout)
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert f"/{dialect}" in document["paths"]
    assert "/api/v1" in json.dumps(document["servers"])


def test_routes_prints_a_table(tmp_path: Path, nowhere: Mapping[str, str]) -> None:
    ran = run("routes", variables=nowhere, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == [], "it left something behind"
    header, *rows = ran.stdout.splitlines()
    assert header.split() == ["DIALECT", "METHOD", "PATH", "OPERATION", "PERMISSION"]
    assert len(rows) == 16
    starts = [header.index(name) for name in header.split()]
    for row in rows:
        assert len(row.split()) == 5
        # Each column starts below its header.
        assert all(row[start] != " " and row[start - 1] == " " for start in starts[1:])
    assert re.search(r"process +POST +/process/\{id\}/execute +\w+ +process:execute", ran.stdout)


def test_version_prints_the_version() -> None:
    ran = run("--version")
    assert ran.returncode == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", ran.stdout)


# Errors -----------------------------------------------------------------------------------------

ERRORS: dict[str, tuple[str, str]] = {
    # name: (variables and arguments, error message)
    "a variable": (
        "GATEWAY_PORT=abc routes",
        'port: expected an integer from 0 to 65535, got "abc" (GATEWAY_PORT)',
    ),
    "an unknown variable": (
        "GATEWAY_PROT=1 routes",
        "prot: there is no such setting; did you mean port? (GATEWAY_PROT)",
    ),
    "an option": (
        "serve --port 70000",
        "port: expected an integer from 0 to 65535, got 70000 (--port)",
    ),
    "a TOML file": (
        "schema --config {folder}/invalid.toml",
        'send_timeout: expected a number above 0, got "none" ({folder}/invalid.toml)',
    ),
    "a missing TOML file": (
        "schema --config {folder}/missing.toml",
        "config: cannot read {folder}/missing.toml: No such file or directory",
    ),
    "a short secret": (
        "GATEWAY_TOKEN_SECRET=sesame token --profile admin",
        "token_secret: expected text of at least 32 characters (GATEWAY_TOKEN_SECRET)",
    ),
    "an unreachable database": (
        "serve --database-url postgresql://127.0.0.1:{closed}/home",
        "database_url: the database cannot be used: [Errno {refused}] Connection refused",
    ),
    "a database that does not exist": (
        "migrate --database-url {missing}",
        'database_url: the database cannot be used: database "missing" does not exist',
    ),
    "an address with a slash in its password": (
        "migrate --database-url postgresql://me:ses/ame@127.0.0.1/home",
        "database_url: expected an address such as postgresql://user:password@host:5432/name,"
        " with the special characters of each part percent-encoded",
    ),
    "a port that is taken": (
        "serve --port {taken} --database-url {database}",
        "port: cannot listen on 127.0.0.1:{taken}: Address already in use",
    ),
    "a host that is not here": (
        "serve --host 192.0.2.1 --port {closed} --database-url {database}",
        "host: cannot listen on 192.0.2.1:{closed}: Cannot assign requested address",
    ),
    "a data folder that is a file": (
        "migrate --data-dir {folder}/invalid.toml",
        "data_dir: cannot use {folder}/invalid.toml: File exists",
    ),
    "a data folder below a file": (
        "migrate --data-dir {folder}/invalid.toml/data",
        "data_dir: cannot use {folder}/invalid.toml/data: Not a directory",
    ),
    "a profile": (
        "GATEWAY_TOKEN_SECRET={secret} token --profile nobody --database-url {database}",
        '--profile: there is no profile "nobody"; there are admin, occupant, guest',
    ),
    "a time to live": (
        "token --profile admin --ttl 12",
        "--ttl: expected a time such as 90s, 30m, 12h or 7d, at most 3650d, got '12'",
    ),
    "no token": (
        "GATEWAY_TOKEN_SECRET={secret} revoke sesame",
        "TOKEN: this is not a token of this gateway",
    ),
    "an expired token": (
        "GATEWAY_TOKEN_SECRET={secret} revoke {expired}",
        "TOKEN: the token has expired; ask for a new one",
    ),
    "no processes": (
        "demo --processes 0",
        "--processes: expected a number from 1, got 0",
    ),
    "too many processes": (
        "demo --processes 10000000 --database-url {database}",
        "--processes: at most 9,999,999 more processes can be generated",
    ),
}


@pytest.fixture(scope="module")
def placeholders(
    tmp_path_factory: pytest.TempPathFactory, postgres: str, template: str
) -> Iterator[Mapping[str, str]]:
    """The values of the placeholders in ``ERRORS``."""
    folder = tmp_path_factory.mktemp("errors")
    (folder / "invalid.toml").write_text('send_timeout = "none"')
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield {
            "folder": str(folder),
            "closed": str(free_port()),
            "refused": "61" if os.uname().sysname == "Darwin" else "111",
            "taken": str(listening.getsockname()[1]),
            "database": in_database(postgres, template),
            "missing": in_database(postgres, "missing"),
            "secret": "".join(SECRET.split()),
            "expired": TokenKeys("".join(SECRET.split())).issue(1, "admin", timedelta(seconds=-1)),
        }


Ran = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def failures(placeholders: Mapping[str, str]) -> Iterator[Mapping[str, Future[Ran]]]:
    """Run the invalid commands in parallel, because starting Python takes most of their time."""

    def run_line(line: str) -> Ran:
        words = [word.format_map(placeholders) for word in line.split()]
        variables = dict(word.split("=", 1) for word in words if word.startswith("GATEWAY_"))
        arguments = [word for word in words if not word.startswith("GATEWAY_")]
        return run(*arguments, variables=variables, cwd=Path(placeholders["folder"]))

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        yield {name: pool.submit(run_line, line) for name, (line, _) in ERRORS.items()}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_reported_in_one_line(
    name: str, failures: Mapping[str, Future[Ran]], placeholders: Mapping[str, str]
) -> None:
    ran = failures[name].result()
    expected = ERRORS[name][1].format_map(placeholders)
    assert (ran.stdout, ran.stderr) == ("", f"process-gateway: {expected}\n")
    assert ran.returncode == 1


def test_a_data_folder_without_permission_is_reported(tmp_path: Path) -> None:
    # Root bypasses file modes, unless it drops that capability.
    ordinary = [require_program("setpriv"), "--bounding-set=-all"] if os.geteuid() == 0 else []
    folder = tmp_path / "folder"
    folder.mkdir()
    for mode, arguments in ((0o555, ["migrate"]), (0o000, ["token", "--profile", "admin"])):
        folder.chmod(mode)
        ran = run(*arguments, "--data-dir", folder, through=ordinary)
        assert re.fullmatch(
            rf"process-gateway: data_dir: cannot use {folder}\S*: Permission denied\n", ran.stderr
        )
        assert (ran.returncode, ran.stdout) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "COMMAND"),
        (["sreve"], "COMMAND"),
        (["serve", "--port", "abc"], "--port"),
        (["token"], "--profile"),
        (["openapi", "graphql"], "dialect"),
        (["demo", "--processes", "many"], "--processes"),
    ],
)
def test_invalid_usage_is_reported(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert named in printed.err.splitlines()[-1]
