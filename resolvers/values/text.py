"""Define the text types of the model, and format values for error messages."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema


def shorten(value: object, limit: int = 40) -> str:
    """Format a value for an error message: quote strings, and truncate long values."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    if isinstance(value, str):
        text = '"' + text[1:-1] + '"'
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def storable(text: str) -> str:
    """Return the text if PostgreSQL can store it: no NUL, no lone surrogate (docs/contract.md §1).

    Raises:
        ValueError: PostgreSQL cannot store it. The message is safe to show to clients.
    """
    if "\0" in text:
        raise ValueError("must not contain the NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("must not contain a lone surrogate") from None
    return text


MAX_REFERENCE = 255
"""Characters of a reference at the most."""


class _Storable:
    """Metadata of a text type: check like ``storable``, without a Python call for each text.

    Args:
        pattern: What the JSON schema of the type says of the text.
    """

    def __init__(self, pattern: str | None = None) -> None:
        self._pattern = pattern

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        assert schema["type"] == "str"
        # pydantic itself rejects a lone surrogate, with the error type string_unicode.
        return {**schema, "pattern": r"^[^\x00]*$"}

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        described = handler(schema)
        del described["pattern"]
        return described if self._pattern is None else described | {"pattern": self._pattern}


def without_pattern(schema: CoreSchema) -> CoreSchema:
    """Return the schema of a text, or of a text or null, that lets NUL characters pass."""
    inner = schema.get("schema")
    changed: Any = {key: part for key, part in schema.items() if key != "pattern"}
    if inner is not None:
        changed["schema"] = without_pattern(inner)
    return changed  # type: ignore[no-any-return]


Text = Annotated[str, _Storable()]
"""Any text that PostgreSQL can store."""
ShortText = Annotated[str, StringConstraints(max_length=255), _Storable()]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), _Storable()]
"""1 to 255 characters. Leading and trailing whitespace is kept."""
Reference = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_REFERENCE, strip_whitespace=True),
    _Storable(pattern=r"\S"),
]
"""1 to 255 characters. Leading and trailing whitespace is removed."""
Description = Annotated[str, StringConstraints(max_length=4000), _Storable()]
InputType = Annotated[str, StringConstraints(min_length=1, max_length=64), _Storable()]
"""The type of an input: any word of up to 64 characters, returned as it was sent."""


def describe(value: object) -> str:
    """Describe a JSON value briefly, for error messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return shorten(value)
