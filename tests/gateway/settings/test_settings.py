"""Test how settings are loaded and checked, and that docs/settings.md describes all of them."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from gateway.settings.load import load_settings
from gateway.settings.model import Settings, SettingsError

DOCUMENT = Path(__file__).parents[3] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove the variables of this machine, and change to an empty folder."""
    for name in list(os.environ):
        if name.startswith("GATEWAY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def error_message(config: Path | None = None, **options: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(config, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_settings_have_defaults() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.data_dir == Path(".gateway")


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_options_override_variables_and_variables_override_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("gateway.toml").write_text('port = 1\nhost = "toml"\npool_max = 3\n')
    monkeypatch.setenv("GATEWAY_PORT", "2")
    monkeypatch.setenv("GATEWAY_HOST", "variable")
    settings = load_settings(port=3, host=None)
    assert (settings.port, settings.host, settings.pool_max) == (3, "variable", 3)


def test_the_configuration_file_is_chosen_by_option_and_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number, name in enumerate(["gateway.toml", "variable.toml", "option.toml"], start=1):
        Path(name).write_text(f"port = {number}")
    assert load_settings().port == 1
    monkeypatch.setenv("GATEWAY_CONFIG", "variable.toml")
    assert load_settings().port == 2
    assert load_settings(Path("option.toml")).port == 3


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "")
    monkeypatch.setenv("GATEWAY_CONFIG", "")
    assert load_settings().port == 8080


def test_variables_are_converted_to_the_types_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DEMO": "true",
        "DATABASE_URL": "postgresql://someone@/home?host=/run",
        "DATA_DIR": "~/home",
        "STATEMENT_TIMEOUT": "2.5",
        "REST_BASE_PATH": "/api/v1",
    }.items():
        monkeypatch.setenv("GATEWAY_" + name, value)
    settings = load_settings()
    assert settings.demo is True
    assert settings.database_url == SecretStr("postgresql://someone@/home?host=/run")
    assert settings.data_dir == Path.home() / "home"
    assert settings.statement_timeout == 2.5
    assert settings.rest_base_path == "/api/v1"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "abc", 'port: expected an integer from 0 to 65535, got "abc"'),
        ("port", "70000", 'port: expected an integer from 0 to 65535, got "70000"'),
        ("port", "8080\n8081", 'port: expected an integer from 0 to 65535, got "8080\\n8081"'),
        ("demo", "maybe", 'demo: expected true or false, got "maybe"'),
        ("pool_max", "0", 'pool_max: expected an integer of at least 1, got "0"'),
        ("shutdown_grace", "-1", 'shutdown_grace: expected a number of at least 0, got "-1"'),
        ("shutdown_grace", "nan", 'shutdown_grace: expected a number of at least 0, got "nan"'),
        (
            "rate_limit_token",
            "0/second",
            'rate_limit_token: expected "" or rates such as "50/second; 1000/minute",'
            ' got "0/second"',
        ),
        (
            "redis_url",
            "redis://:password@host",
            "redis_url: expected an address such as redis://:password@host:6379/0",
        ),
        (
            "trusted_proxies",
            "10.0.0.0/8, proxy",
            'trusted_proxies: expected addresses and networks such as "10.0.0.0/8, 192.168.1.7",'
            ' got "10.0.0.0/8, proxy"',
        ),
        ("execution_timeout", "0", 'execution_timeout: expected a number above 0, got "0"'),
        (
            "introspection",
            "yes",
            'introspection: expected one of "public", "token", "off", got "yes"',
        ),
        (
            "rest_base_path",
            "/api/",
            'rest_base_path: expected "" or a path such as "/api/v1", without "/" at the end,'
            ' got "/api/"',
        ),
        *(
            (
                "cors_origins",
                origins,
                'cors_origins: expected "*" or origins as browsers send them, such as'
                f' "https://app.example, http://localhost:5173", got "{origins}"',
            )
            for origins in (
                "app.example",
                "https://app.example/",
                "https://App.example",
                "https://*.example",
                "*, https://app.example",
                "null",
                "https://me@app.example",
            )
        ),
        *(
            (
                "cors_headers",
                names,
                'cors_headers: expected names of headers such as "Authorization, Content-Type",'
                f' got "{names}"',
            )
            for names in ("*", "X-One, X Two", "Accept: all")
        ),
        ("token_secret", "too short", "token_secret: expected text of at least 32 characters"),
        (
            "database_url",
            "mysql://someone:password@db/home",
            "database_url: expected an address that starts with postgresql://",
        ),
        ("prot", "1", "prot: there is no such setting; did you mean port?"),
        ("tkn", "1", "tkn: there is no such setting"),
    ],
)
def test_an_invalid_variable_is_rejected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    variable = "GATEWAY_" + name.upper()
    monkeypatch.setenv(variable, value)
    assert error_message() == f"{expected} ({variable})"


@pytest.mark.parametrize("origins", ["*", " * "])
def test_all_origins_and_credentials_are_not_allowed_together(origins: str) -> None:
    message = error_message(cors_origins=origins, cors_credentials=True)
    assert message == (
        'cors_credentials: expected false, because cors_origins is "*", got true'
        " (--cors-credentials)"
    )
    allowed = "https://app.example, capacitor://localhost, http://[::1]:8080,"
    assert load_settings(cors_origins=allowed, cors_credentials=True).cors_credentials


@pytest.mark.parametrize("rates", ["50", "50/s", "-1/second", "1/second,,2/hour", "1.5/hour", " "])
def test_invalid_rates_are_rejected(rates: str) -> None:
    assert error_message(rate_limit_address=rates).startswith("rate_limit_address: expected ")


def test_rates_and_networks_are_accepted() -> None:
    settings = load_settings(
        rate_limit_address="50/second; 1000 per 10 minutes",
        trusted_proxies="10.0.0.0/8,192.168.1.7 , fd00::/8",
        redis_url="rediss://user:p%40ss@[::1]:6379/3",
    )
    assert settings.rate_limit_address == "50/second; 1000 per 10 minutes"


@pytest.mark.parametrize("path", ["api", "/", "/api//v1", "/api/../v1", "/api?v=1", "/a b", "/é"])
def test_an_invalid_base_path_is_rejected(path: str) -> None:
    assert error_message(rest_base_path=path).startswith("rest_base_path: expected ")


def test_an_invalid_option_is_rejected() -> None:
    assert error_message(data_dir=3) == "data_dir: expected a path, got 3 (--data-dir)"


def test_a_maximum_below_its_minimum_is_rejected() -> None:
    assert error_message(pool_min=20) == (
        "pool_max: expected at least pool_min, which is 20, got 16"  # a default has no origin
    )
    assert error_message(page_size_max=19) == (
        "page_size_max: expected at least page_size_default, which is 20, got 19 (--page-size-max)"
    )


def test_every_invalid_setting_is_reported() -> None:
    assert error_message(port=-1, pool_min="x") == (
        "port: expected an integer from 0 to 65535, got -1 (--port); "
        'pool_min: expected an integer of at least 0, got "x" (--pool-min)'
    )


def test_invalid_configuration_files_are_rejected() -> None:
    file = Path("home.toml")
    assert error_message(file) == "config: cannot read home.toml: No such file or directory"
    file.write_text("port = ")
    assert error_message(file).startswith("config: home.toml is not valid TOML: Invalid value")
    file.write_bytes(b'host = "\xff"')
    assert error_message(file).startswith("config: home.toml is not valid TOML: ")
    file.write_text("[gateway]\nport = 1")
    assert error_message(file) == "gateway: there is no such setting (home.toml)"


def test_secrets_are_not_printed() -> None:
    settings = load_settings(
        token_secret="s3cret" * 10, database_url="postgresql://me:s3cret@db/home"
    )
    assert "s3cret" not in f"{settings!r} {settings} {settings.model_dump()}"
    with pytest.raises(SettingsError) as caught:
        load_settings(token_secret="s3cret", database_url="s3cret://")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_every_setting_is_documented() -> None:
    expected = []
    for name, field in Settings.model_fields.items():
        default = "none"
        if field.default is not None:
            default = f"`{json.dumps(field.default, default=str)}`"
        expected.append(
            f"| `{name}` | `GATEWAY_{name.upper()}` | {default} | {field.description} |"
        )
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert rows == expected


def test_the_example_of_the_document_works() -> None:
    example = re.search(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert example
    Path("gateway.toml").write_text(example[1])
    changed = load_settings().model_dump(exclude_defaults=True)
    assert changed.keys() == tomllib.loads(example[1]).keys()
