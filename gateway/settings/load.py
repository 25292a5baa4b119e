"""In charge of the settings: what can be set, where a value comes from, and what a wrong one says.

A value given on the command line wins over a ``GATEWAY_*`` variable, that over the TOML file, that
over the default. ``docs/settings.md`` is the table for people; a test holds the two together.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import (
    ValidationError,
)
from pydantic_core import ErrorDetails

from gateway.settings.model import Settings, SettingsError

PREFIX = "GATEWAY_"
"""What the name of every variable starts with."""
CONFIG_VARIABLE = PREFIX + "CONFIG"
"""The variable that names the TOML file: the one that is not itself a setting."""
CONFIG_DEFAULT = Path("gateway.toml")
"""The TOML file that is read, if it exists, when none is named."""


def load_settings(config: Path | None = None, **given: object) -> Settings:
    """The settings in force here: ``given`` before variables before the TOML file before defaults.

    Args:
        config: The TOML file to read; without one, the file that ``GATEWAY_CONFIG`` names, or
            ``gateway.toml`` in the working directory if there is one.
        **given: Values from the command line by the setting's name; None is "not given".

    Raises:
        SettingsError: A value does not fit, no setting has that name (in the file or among the
            variables that start with ``GATEWAY_``), or the file cannot be read.
    """
    # An empty variable is an unset one: that is how Compose files and CI pass on "nothing".
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
    for name, value in given.items():
        if value is not None:
            values[name] = value
            origins[name] = "--" + name.replace("_", "-")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        flaws = [_describe(flaw, origins) for flaw in error.errors(include_url=False)]
        # Not the cause: it shows values, and one of them may be a secret.
        raise SettingsError("; ".join(flaws)) from None


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"config: cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise SettingsError(f"config: {path} is not valid TOML: {error}") from error


def _describe(flaw: ErrorDetails, origins: Mapping[str, str]) -> str:
    """One wrong setting, for its operator: its name, what was expected, what came, from where."""
    name = str(flaw["loc"][0])
    origin = f" ({origins[name]})" if name in origins else ""
    schema = Settings.model_json_schema()["properties"]
    if name not in schema:
        alike = get_close_matches(name, schema, n=1)
        hint = f"; did you mean {alike[0]}?" if alike else ""
        return f"{name}: there is no such setting{hint}{origin}"
    rule: dict[str, Any] = schema[name]
    rule |= next(iter(rule.get("anyOf", [])), {})  # "or null" goes without saying
    if flaw["type"] == "value_error":
        expected = str(flaw["ctx"]["error"])
    else:
        expected = f"expected {_expectation(rule)}"
    secret = rule.get("writeOnly", False)
    return f"{name}: {expected}" + ("" if secret else f", got {_quoted(flaw['input'])}") + origin


def _expectation(rule: Mapping[str, Any]) -> str:
    """What a setting's JSON schema asks for, in words."""
    if "enum" in rule:
        return "one of " + ", ".join(map(_quoted, rule["enum"]))
    words = {
        "boolean": "true or false",
        "integer": "an integer",
        "number": "a number",
        "string": "a path" if rule.get("format") == "path" else "text",
    }[rule["type"]]
    if "minimum" in rule and "maximum" in rule:
        return f"{words} from {rule['minimum']} to {rule['maximum']}"
    if "minimum" in rule:
        return f"{words} of at least {rule['minimum']:g}"
    if "exclusiveMinimum" in rule:
        return f"{words} above {rule['exclusiveMinimum']:g}"
    if "minLength" in rule:
        return f"{words} of at least {rule['minLength']} characters"
    return words


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
