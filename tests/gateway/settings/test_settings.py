"""In charge of holding gateway.settings to its word, and docs/settings.md to the code."""

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
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither variables nor a gateway.toml of the machine that the tests run on."""
    for name in list(os.environ):
        if name.startswith("GATEWAY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def complaint(config: Path | None = None, **given: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(config, **given)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_defaults() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.data_dir == Path(".gateway")


def test_settings_cannot_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("gateway.toml").write_text('port = 1\nhost = "toml"\npool_max = 3\n')
    monkeypatch.setenv("GATEWAY_PORT", "2")
    monkeypatch.setenv("GATEWAY_HOST", "variable")
    settings = load_settings(port=3, host=None)
    assert (settings.port, settings.host, settings.pool_max) == (3, "variable", 3)


def test_the_file_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_values_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
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
        ("rate_limit", "-1", 'rate_limit: expected a number of at least 0, got "-1"'),
        ("rate_limit", "nan", 'rate_limit: expected a number of at least 0, got "nan"'),
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
def test_a_wrong_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    variable = "GATEWAY_" + name.upper()
    monkeypatch.setenv(variable, value)
    assert complaint() == f"{expected} ({variable})"


@pytest.mark.parametrize("path", ["api", "/", "/api//v1", "/api/../v1", "/api?v=1", "/a b", "/é"])
def test_a_wrong_base_path(path: str) -> None:
    assert complaint(rest_base_path=path).startswith("rest_base_path: expected ")


def test_a_wrong_option() -> None:
    assert complaint(data_dir=3) == "data_dir: expected a path, got 3 (--data-dir)"


def test_bounds_that_cross() -> None:
    assert complaint(pool_min=20) == (
        "pool_max: expected at least pool_min, which is 20, got 16"  # the default: from nowhere
    )
    assert complaint(page_size_max=19) == (
        "page_size_max: expected at least page_size_default, which is 20, got 19 (--page-size-max)"
    )


def test_all_wrong_settings_are_named() -> None:
    assert complaint(port=-1, pool_min="x") == (
        "port: expected an integer from 0 to 65535, got -1 (--port); "
        'pool_min: expected an integer of at least 0, got "x" (--pool-min)'
    )


def test_wrong_files() -> None:
    file = Path("home.toml")
    assert complaint(file) == "config: cannot read home.toml: No such file or directory"
    file.write_text("port = ")
    assert complaint(file).startswith("config: home.toml is not valid TOML: Invalid value")
    file.write_bytes(b'host = "\xff"')
    assert complaint(file).startswith("config: home.toml is not valid TOML: ")
    file.write_text("[gateway]\nport = 1")
    assert complaint(file) == "gateway: there is no such setting (home.toml)"


def test_secrets_stay_secret() -> None:
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
