"""In charge of the schema's enums. Their values are what the database and the dialects write."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar, cast

import strawberry

Value = TypeVar("Value")


def _described(value: Value, description: str) -> Value:
    """A member's value, with what the schema says of it."""
    return cast(Value, strawberry.enum_value(value, description=description))


@strawberry.enum(description="What a profile allows its holders to do.")
class Permission(Enum):
    """A permission, by the word that the command line and the database use."""

    PROCESS_READ = _described(
        "process:read", description="See processes, their parts and their executions."
    )
    PROCESS_WRITE = _described(
        "process:write", description="Create, change and delete processes and espaces."
    )
    PROCESS_EXECUTE = _described("process:execute", description="Execute processes.")
    ADMIN = _described(
        "admin", description="Everything, including sources, profiles and every process."
    )


@strawberry.enum(description="How the actions of a process depend on its state.")
class ProcessMode(Enum):
    """The words are those of the legacy dialects."""

    SIMPLE = _described("simple", description="Runs all its actions; its state never changes.")
    SWITCH = _described(
        "switch",
        description="Runs the actions for its current state, then changes to the other state.",
    )


@strawberry.enum(description="One of the two states that a process can be in.")
class ProcessState(Enum):
    """Stored as a boolean, written as 0 and 1 by the legacy dialects."""

    ENABLED = _described(True, description="Enabled.")
    DISABLED = _described(False, description="Disabled.")


@strawberry.enum(description="What the type of an input means, and so how its value is checked.")
class InputKind(Enum):
    """The known input types; any other word is a text."""

    TEXT = _described("text", description="Any text.")
    NUMBER = _described("number", description="A number, such as 21.5.")
    INTEGER = _described("integer", description="A whole number.")
    BOOLEAN = _described("boolean", description="true or false; 1 or 0.")
    CHOICE = _described("choice", description="One of the words that the process knows.")
    TIME = _described("time", description="A time of day: 07:30 or 07:30:00.")
    COLOR = _described("color", description="A color: #ff8800.")


@strawberry.enum(description="How far an execution, or a step of one, has come.")
class ExecutionStatus(Enum):
    """The words are those of the /process dialect."""

    RUNNING = _described("running", description="It has not ended yet.")
    SUCCEEDED = _described("succeeded", description="It ended as it should.")
    FAILED = _described("failed", description="It ended with an error.")


@strawberry.enum(description="A direction to order in.")
class OrderDirection(Enum):
    """Whether smaller values come first."""

    ASC = _described("asc", description="Smaller values first.")
    DESC = _described("desc", description="Larger values first.")


@strawberry.enum(description="What espaces can be ordered by.")
class EspaceOrderField(Enum):
    """The values are columns of ``storage.model``."""

    DATABASE_ID = _described("database_id", description="The id: oldest first.")
    REFERENCE = _described("reference", description="The reference, by code point.")
    NAME = _described("name", description="The name, by code point.")


@strawberry.enum(description="What processes can be ordered by.")
class ProcessOrderField(Enum):
    """The values are columns of ``storage.model``."""

    DATABASE_ID = _described("database_id", description="The id: oldest first.")
    REFERENCE = _described("reference", description="The reference, by code point.")
    NAME = _described("name", description="The name, by code point.")


@strawberry.enum(description="What profiles can be ordered by.")
class ProfileOrderField(Enum):
    """The values are columns of ``storage.model``."""

    DATABASE_ID = _described("database_id", description="The id: oldest first.")
    NAME = _described("name", description="The name, by code point.")


@strawberry.enum(description="What sources can be ordered by.")
class SourceOrderField(Enum):
    """The values are columns of ``storage.model``."""

    DATABASE_ID = _described("database_id", description="The id: oldest first.")
    NAME = _described("name", description="The name, by code point.")


@strawberry.enum(description="What executions can be ordered by.")
class ExecutionOrderField(Enum):
    """The values are columns of ``storage.model``."""

    DATABASE_ID = _described("database_id", description="The id: in order of starting.")
