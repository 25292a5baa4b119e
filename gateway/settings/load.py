"""Load the settings from options, ``GATEWAY_*`` variables and a TOML file, in this precedence."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.settings.model import Settings, SettingsError

PREFIX = "GATEWAY_"
"""Prefix of every variable."""
CONFIG_VARIABLE = PREFIX + "CONFIG"
"""The variable that names the TOML file. It is not a setting."""
CONFIG_DEFAULT = Path("gateway.toml")
"""The TOML file that is read by default, if it exists."""


def load_settings(config: Path | None = None, **options: object) -> Settings:
    """Return the settings in force.

    Args:
        config: The TOML file to read. By default the file that ``GATEWAY_CONFIG`` names, or
            ``gateway.toml`` in the working directory if it exists.
        **options: Values from the command line by name of the setting; None for options that were
            not given.

    Raises:
        SettingsError: A value is not valid, a name in the file or a variable that starts with
            ``GATEWAY_`` is no setting, or the file cannot be read.
    """
    # An empty variable counts as unset, because Compose files and CI pass variables that way.
    variables = {
        name: value for name, value in os.environ.items() if name.startswith(PREFIX) and value
    }
    named = variables.pop(CONFIG_VARIABLE, None)
    if config is None and named:
        config = Path(named)
    elif config is None and CONFIG_DEFAULT.exists():
        config = CONFIG_DEFAULT

    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    if config is not None:
        values |= _read_toml(config)
        origins |= dict.fromkeys(values, str(config))
    for variable, text in variables.items():
        name = variable.removeprefix(PREFIX).lower()
        values[name] = text
        origins[name] = variable
    for name, value in options.items():
        if value is not None:
            values[name] = value
            origins[name] = "--" + name.replace("_", "-")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problems = [_describe(details, origins) for details in error.errors(include_url=False)]
        # The cause is left out: it contains values, and one of them may be a secret.
        raise SettingsError("; ".join(problems)) from None


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"config: cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise SettingsError(f"config: {path} is not valid TOML: {error}") from error


def _describe(details: ErrorDetails, origins: Mapping[str, str]) -> str:
    """Describe an invalid setting: its name, the expected value, the value, and its origin."""
    name = str(details["loc"][0])
    origin = f" ({origins[name]})" if name in origins else ""
    schema = Settings.model_json_schema()["properties"]
    if name not in schema:
        matches = get_close_matches(name, schema, n=1)
        hint = f"; did you mean {matches[0]}?" if matches else ""
        return f"{name}: there is no such setting{hint}{origin}"
    rule: dict[str, Any] = schema[name]
    rule |= next(iter(rule.get("anyOf", [])), {})  # without "or null"
    if details["type"] == "value_error":
        expected = str(details["ctx"]["error"])
    else:
        expected = f"expected {_expectation(rule)}"
    secret = rule.get("writeOnly", False)
    return f"{name}: {expected}" + ("" if secret else f", got {_quoted(details['input'])}") + origin


def _expectation(rule: Mapping[str, Any]) -> str:
    """Describe the values that the JSON schema of a setting accepts."""
    if "enum" in rule:
        return "one of " + ", ".join(map(_quoted, rule["enum"]))
    noun = {
        "boolean": "true or false",
        "integer": "an integer",
        "number": "a number",
        "string": "a path" if rule.get("format") == "path" else "text",
    }[rule["type"]]
    if "minimum" in rule and "maximum" in rule:
        return f"{noun} from {rule['minimum']} to {rule['maximum']}"
    if "minimum" in rule:
        return f"{noun} of at least {rule['minimum']:g}"
    if "exclusiveMinimum" in rule:
        return f"{noun} above {rule['exclusiveMinimum']:g}"
    if "minLength" in rule:
        return f"{noun} of at least {rule['minLength']} characters"
    return noun


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
