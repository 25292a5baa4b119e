"""Test commands: which of them create a gateway, tokens from standard input, and options."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.auth.tokens import TokenKeys
from gateway.cli import _parser
from gateway.settings.load import load_settings
from gateway.settings.model import Settings
from tests.conftest import SECRET, SECRET_KEY, database_copy, in_database
from tests.gateway.programs import COMMAND, PATIENCE, environment, postmaster, run

ADVICE = (
    "start one there with 'process-gateway serve', name the folder of the running one with"
    " --data-dir or GATEWAY_DATA_DIR, or use --database-url and token_secret"
)


# Commands that need a gateway --------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    ["token --profile admin", "token --inspect a.b.c", "revoke a.b.c"],
)
def test_a_command_in_a_folder_without_a_gateway_creates_nothing(
    tmp_path: Path, arguments: str
) -> None:
    ran = run(*arguments.split(), cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    where = f"data_dir: there is no gateway in {tmp_path}/.gateway (no token secret)"
    assert ran.stderr == f"process-gateway: {where}; {ADVICE}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_token_secret_alone_is_not_a_gateway(tmp_path: Path) -> None:
    ran = run(
        *("token", "--profile", "admin", "--data-dir", "here"),
        cwd=tmp_path,
        variables={"GATEWAY_TOKEN_SECRET": SECRET},
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    where = f"data_dir: there is no gateway in {tmp_path}/here (no database)"
    assert ran.stderr == f"process-gateway: {where}; {ADVICE}\n"
    assert list(tmp_path.iterdir()) == []


def test_an_external_database_without_a_token_secret_is_reported(
    tmp_path: Path, database_url: str
) -> None:
    there = ("--database-url", database_url)
    ran = run("token", "--profile", "admin", *there, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f"there is no gateway in {tmp_path}/.gateway (no token secret)" in ran.stderr
    # migrate creates no secret either: the gateway that uses the database may run elsewhere.
    assert run("migrate", *there, cwd=tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
async def empty_database_url(postgres: str) -> AsyncIterator[str]:
    """Create a database without any tables, and yield its URL."""
    async with database_copy(postgres, "template0") as url:
        yield url


def test_only_some_commands_migrate_a_database(
    tmp_path: Path, empty_database_url: str, external: dict[str, str]
) -> None:
    variables = {**external, "GATEWAY_DATABASE_URL": empty_database_url}
    ran = run("token", "--profile", "admin", cwd=tmp_path, variables=variables)
    problem = "database_url: the database is not migrated; run 'process-gateway migrate'"
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"process-gateway: {problem}\n"
    assert run("migrate", cwd=tmp_path, variables=variables).returncode == 0
    assert run("token", "--profile", "admin", cwd=tmp_path, variables=variables).returncode == 0


@pytest.mark.parametrize("command", ["migrate", "demo"])
def test_a_token_can_be_issued_once_the_data_folder_exists(tmp_path: Path, command: str) -> None:
    folder = tmp_path / "data"
    assert run(command, "--data-dir", folder).returncode == 0
    ran = run("token", "--profile", "admin", "--data-dir", folder)
    assert ran.returncode == 0, ran.stderr
    keys = TokenKeys((folder / "token-secret").read_text())
    assert keys.verify(ran.stdout.strip()).profile_id == 1
    assert not postmaster(folder)


# Tokens ------------------------------------------------------------------------------------------


@pytest.fixture
def external(database_url: str) -> dict[str, str]:
    """The variables of a gateway with an external database."""
    return {"GATEWAY_DATABASE_URL": database_url, "GATEWAY_TOKEN_SECRET": SECRET}


def piped(variables: dict[str, str], text: str, *arguments: str) -> tuple[int, str, str]:
    """Return the exit status, output, and errors of a command that reads ``text``."""
    ran = subprocess.run(
        [COMMAND, *arguments],
        env=environment(**variables),
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


def test_a_token_is_inspected_and_revoked(external: dict[str, str]) -> None:
    keys = TokenKeys(SECRET)
    token = run("token", "--profile", "guest", "--ttl", "1h", variables=external).stdout
    claims = keys.verify(token.strip())
    ran = run("token", "--inspect", token.strip(), variables=external)
    assert (ran.returncode, ran.stderr) == (0, "")
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00"
    pattern = (
        rf"profile  guest \(id 3\)\nid       {claims.token_id}\nissued   {moment}\n"
        rf"expires  {moment}\nvalid    yes\n"
    )
    assert re.fullmatch(pattern, ran.stdout)
    assert piped(external, token, "token", "--inspect", "-") == (0, ran.stdout, "")

    assert piped(external, token, "revoke", "-") == (0, "", "")
    status, output, errors = piped(external, token, "token", "--inspect", "-")
    assert (status, errors) == (1, "process-gateway: TOKEN: the token was revoked\n")
    assert output == ran.stdout.replace("valid    yes", "valid    no")


def test_inspect_explains_why_a_token_is_invalid(external: dict[str, str]) -> None:
    hour = timedelta(hours=1)
    own, other = TokenKeys(SECRET), TokenKeys("another secret " * 3)
    gone = "the profile that the token was made for is gone"
    for token, profile, problem in (
        (own.issue(1, "admin", -hour), "admin (id 1)", "the token has expired; ask for a new one"),
        (other.issue(1, "admin", hour), "admin", "the token was not signed by this gateway"),
        (own.issue(77, "nobody", hour), "nobody (id 77)", gone),
        (other.issue(1, "a\x1b[1mb", hour), r'"a\x1b[1mb"', "not signed by this gateway"),
        ("sesame", None, "this is not a token of this gateway"),
        ("", None, "this is not a token of this gateway"),
    ):
        status, output, errors = piped(external, token, "token", "--inspect", "-")
        assert status == 1
        assert problem in errors
        assert output.endswith("valid    no\n")
        assert (f"profile  {profile}" in output) if profile else output == "valid    no\n"


# Pipes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["schema", "openapi process", "routes", "--help"])
def test_a_command_ends_quietly_when_its_output_is_closed(tmp_path: Path, arguments: str) -> None:
    """The exit status is 141, which a shell reports for a program that SIGPIPE ended.

    For ``--help`` it may also be 0, because argparse ignores output errors.
    """
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [COMMAND, *arguments.split()],
            cwd=tmp_path,
            env=environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        os.close(writing)
    assert ended.stderr == b""
    assert ended.returncode == 141 or (ended.returncode == 0 and arguments == "--help")


# Options -----------------------------------------------------------------------------------------


def serve_options() -> dict[str, argparse.Action]:
    """Return the options of ``serve``, by destination."""
    (commands,) = (
        action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    return {action.dest: action for action in commands.choices["serve"]._actions}


def test_every_setting_is_an_option_of_serve() -> None:
    options = serve_options()
    assert options.keys() - {"help", "config"} == Settings.model_fields.keys()
    for name, field in Settings.model_fields.items():
        assert options[name].option_strings[0] == "--" + name.replace("_", "-")
        assert options[name].default is None, "an omitted option must not override a variable"
        assert field.description
        assert (options[name].help or "").startswith(field.description.replace("`", ""))


def test_the_value_of_every_option_reaches_its_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("GATEWAY_"):
            monkeypatch.delenv(name)
    special: dict[str, Any] = {
        "database_url": "postgresql://me@db/home",
        "token_secret": SECRET,
        "secret_keys": SECRET_KEY,
        "demo_devices": "http://127.0.0.1:8090",
        "introspection": "off",
        "process_dialect_status": "always-200",
        "rest_base_path": "/api",
        "rate_limit_address": "1/second",
        "rate_limit_token": "2/minute; 3/hour",
        "redis_url": "redis://redis:6379/1",
        "trusted_proxies": "10.0.0.0/8",
        "forwarded_header": "Forwarded",
        "cost_mode": "measure",
        "log_level": "debug",
        "data_dir": Path("/elsewhere"),
        "cors_headers": "X-Trace",
        "cors_origins": "https://app.example",
        "host": "::1",
        "workers": 3,
        "port": 1,
        "subscription_interval": 0.5,
    }
    words, expected = ["serve"], {}
    for name, field in Settings.model_fields.items():
        option = "--" + name.replace("_", "-")
        if isinstance(field.default, bool):
            expected[name] = not field.default
            words.append(option.replace("--", "--no-") if field.default else option)
        else:
            expected[name] = special[name] if name in special else field.default + 200
            words.append(f"{option}={expected[name]}")
    parsed = vars(_parser().parse_args(words))
    settings = load_settings(None, **{name: parsed[name] for name in Settings.model_fields})
    values = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in settings
    }
    assert values == expected


def test_an_option_overrides_a_variable(postgres: str) -> None:
    ran = run(
        *("serve", "--no-demo", "--page-size-max", "3"),
        *("--database-url", in_database(postgres, "none")),
        variables={"GATEWAY_PAGE_SIZE_MAX": "300", "GATEWAY_DEMO": "true"},
    )
    assert ran.returncode == 1
    assert ran.stderr == (
        "process-gateway: page_size_max: expected at least page_size_default, which is 20,"
        " got 3 (--page-size-max)\n"
    )
    assert ran.stdout == ""
