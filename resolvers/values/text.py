"""The kinds of text that the model knows, and how a value is shown in an error message."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema


def shorten(value: object, limit: int = 40) -> str:
    """A value as an error message shows it: quoted, and cut where it is long."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    if isinstance(value, str):
        text = '"' + text[1:-1] + '"'
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def storable(text: str) -> str:
    """The text, if PostgreSQL can hold it (CONTRACT.md §1: no NUL, no lone surrogate).

    Raises:
        ValueError: it cannot; the message can be shown.
    """
    if "\0" in text:
        raise ValueError("must not contain the NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("must not contain a lone surrogate") from None
    return text


class _Storable:
    """Check what ``storable`` does without a call of Python for each text."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        assert schema["type"] == "str"
        # A lone surrogate cannot be matched at all, which is an error of its own (string_unicode).
        return {**schema, "pattern": r"^[^\x00]*$"}

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        described = handler(schema)
        del described["pattern"]
        return described


Text = Annotated[str, _Storable()]
"""Any text that can be stored."""
ShortText = Annotated[str, StringConstraints(max_length=255), _Storable()]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), _Storable()]
"""1 to 255 characters; blanks at its ends are kept."""
Reference = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, strip_whitespace=True),
    _Storable(),
]
"""1 to 255 characters without blanks at its ends."""
Description = Annotated[str, StringConstraints(max_length=4000), _Storable()]
InputType = Annotated[str, StringConstraints(min_length=1, max_length=64), _Storable()]
"""The type of an input: any word of up to 64 characters, given back as it came."""


def describe(value: object) -> str:
    """A JSON value in a few words, for error messages."""
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
