"""Define the enums of the schema. Their values are those of the database and the dialects."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar, cast

import strawberry

Value = TypeVar("Value")


def _described(value: Value, description: str) -> Value:
    """Return a member's value with its description in the schema."""
    return cast(Value, strawberry.enum_value(value, description=description))


@strawberry.enum(description="A permission that a profile grants to its callers.")
class Permission(Enum):
    """The values are the names that the command line and the database use."""

    # There is one object of each. The hash of Enum is a call of Python, several for each request.
    __hash__ = object.__hash__

    PROCESS_READ = _described(
        "process:read", description="Read processes, their parts, and their executions."
    )
    PROCESS_WRITE = _described(
        "process:write", description="Create, update, and delete processes and espaces."
    )
    PROCESS_EXECUTE = _described("process:execute", description="Execute processes.")
    ADMIN = _described(
        "admin", description="Full access, including sources, profiles, and all processes."
    )


@strawberry.enum(description="How the actions of a process depend on its state.")
class ProcessMode(Enum):
    """The values are the words of the legacy dialects."""

    SIMPLE = _described("simple", description="Runs all of its actions. Its state never changes.")
    SWITCH = _described(
        "switch",
        description="Runs the actions of its current state, then switches to the other state.",
    )


@strawberry.enum(description="The state of a process.")
class ProcessState(Enum):
    """Stored as a boolean. The legacy dialects write it as 0 or 1."""

    ENABLED = _described(True, description="Enabled.")
    DISABLED = _described(False, description="Disabled.")


@strawberry.enum(description="What happens to an execution while another of its process runs.")
class ProcessConcurrency(Enum):
    """The values are the words that the database stores."""

    SINGLE = _described("single", description="It is refused.")
    QUEUED = _described("queued", description="It waits until the others have ended.")
    PARALLEL = _described(
        "parallel", description="It runs at the same time. Simple processes only."
    )
    RESTART = _described("restart", description="The other is cancelled, and it runs after that.")


@strawberry.enum(description="What happens to an execution if an action of it fails.")
class OnFailure(Enum):
    """The values are the words that the database stores."""

    STOP = _described("stop", description="The execution fails. No further action runs.")
    CONTINUE = _described("continue", description="The execution goes on with the next action.")


@strawberry.enum(description="What of a process cannot work as it is written.")
class ProcessProblemCode(Enum):
    """The values are the words that ``storage.reads.problems`` writes."""

    UNKNOWN_SOURCE_KIND = _described(
        "UNKNOWN_SOURCE_KIND", description="The kind of the source of an action is not installed."
    )
    UNKNOWN_ACTION = _described(
        "UNKNOWN_ACTION",
        description="The source of an action does not offer it. Shown to whoever may write"
        " processes.",
    )
    UNKNOWN_PLACEHOLDER = _described(
        "UNKNOWN_PLACEHOLDER",
        description="An argument has a placeholder that names no input. It is literal text.",
    )
    UNKNOWN_ARGUMENT = _described(
        "UNKNOWN_ARGUMENT",
        description="An action runs a process and gives it an input that it does not have, or it"
        " has an argument that its source does not know.",
    )
    MISSING_ARGUMENT = _described(
        "MISSING_ARGUMENT",
        description="An action runs a process without an input that it requires, in one of its"
        " states at least, or it lacks an argument that its source requires.",
    )


@strawberry.enum(description="The kind of an input. Determines how its value is validated.")
class InputKind(Enum):
    """The known input types. Any other type is treated as text."""

    TEXT = _described("text", description="Any text.")
    NUMBER = _described("number", description="A number, such as 21.5.")
    INTEGER = _described("integer", description="An integer.")
    BOOLEAN = _described("boolean", description="true or false, or 1 or 0.")
    CHOICE = _described("choice", description="One of the choices of the input, if it has any.")
    TIME = _described("time", description="A time of day, such as 07:30 or 07:30:00.")
    COLOR = _described("color", description="A color, such as #ff8800.")


@strawberry.enum(description="The status of an execution or a step.")
class ExecutionStatus(Enum):
    """The values are the words of the /process dialect.

    Executions and steps share it, as they always did: another enum for steps would break clients
    that select the status of both.
    """

    QUEUED = _described("queued", description="Waits for other executions. Only executions.")
    RUNNING = _described("running", description="Still running.")
    WAITING = _described("waiting", description="Waits for its next attempt. Only steps.")
    SUCCEEDED = _described("succeeded", description="Finished without an error.")
    FAILED = _described("failed", description="Finished with an error.")
    CANCELLED = _described("cancelled", description="Ended because it was canceled.")
    INTERRUPTED = _described(
        "interrupted", description="Ended with the gateway that ran it, and was not continued."
    )
    SKIPPED = _described("skipped", description="Left out by a replay. Only steps.")


@strawberry.enum(description="Why an execution or a step did not succeed.")
class ExecutionErrorCode(Enum):
    """The values are those of the column ``error_code``."""

    TIMED_OUT = _described("timed_out", description="It took too long.")
    SOURCE_FAILED = _described("source_failed", description="The source failed.")
    STEP_FAILED = _described("step_failed", description="A step failed that has no code.")
    PROCESS_FAILED = _described("process_failed", description="A process that it ran failed.")
    BUSY = _described(
        "busy", description="A process that it ran was running, and admits no other execution."
    )
    LIMIT = _described("limit", description="It exceeded a limit of the gateway.")
    INVALID_INPUTS = _described(
        "invalid_inputs", description="Its inputs do not fit the process, or do not fit any more."
    )
    STATE_CHANGED = _described(
        "state_changed", description="The state of the process was changed while it ran."
    )
    CANCELLED = _described("cancelled", description="It was canceled.")
    SUPERSEDED = _described("superseded", description="A later execution took its place.")
    QUEUE_EXPIRED = _described("queue_expired", description="It waited too long for others.")
    INTERRUPTED = _described("interrupted", description="The gateway ended while it ran.")
    KIND_MISSING = _described(
        "kind_missing", description="The gateway does not have the kind of the source."
    )
    INTERNAL = _described("internal", description="Any other error.")


@strawberry.enum(description="What an execution was started by.")
class ExecutionTrigger(Enum):
    """The values are those of the column ``trigger``."""

    REQUEST = _described("request", description="A request to an API.")
    PROCESS = _described("process", description="A step of another execution.")
    REPLAY = _described("replay", description="A request to replay another execution.")
    COMMAND = _described("command", description="The command line.")
    SCHEDULE = _described("schedule", description="A schedule.")


@strawberry.enum(description="What a replay runs.")
class ReplayDefinition(Enum):
    """The values are used in the code only."""

    RECORDED = _described(
        "recorded", description="The processes as they were when the execution was requested."
    )
    CURRENT = _described("current", description="The processes as they are now.")


@strawberry.enum(description="A sort direction.")
class OrderDirection(Enum):
    """The values are the SQL keywords in lower case."""

    ASC = _described("asc", description="Ascending.")
    DESC = _described("desc", description="Descending.")


@strawberry.enum(description="Fields to sort espaces by.")
class EspaceOrderField(Enum):
    """The values are columns of ``storage.reads.model``."""

    DATABASE_ID = _described("database_id", description="Numeric ID, in order of creation.")
    REFERENCE = _described("reference", description="Reference, by Unicode code point.")
    NAME = _described("name", description="Name, by Unicode code point.")


@strawberry.enum(description="Fields to sort processes by.")
class ProcessOrderField(Enum):
    """The values are columns of ``storage.reads.model``."""

    DATABASE_ID = _described("database_id", description="Numeric ID, in order of creation.")
    REFERENCE = _described("reference", description="Reference, by Unicode code point.")
    NAME = _described("name", description="Name, by Unicode code point.")
    CREATED_AT = _described("created_at", description="Time of creation.")
    UPDATED_AT = _described("updated_at", description="Time of the last write.")


@strawberry.enum(description="Fields to sort profiles by.")
class ProfileOrderField(Enum):
    """The values are columns of ``storage.reads.model``."""

    DATABASE_ID = _described("database_id", description="Numeric ID, in order of creation.")
    NAME = _described("name", description="Name, by Unicode code point.")


@strawberry.enum(description="Fields to sort sources by.")
class SourceOrderField(Enum):
    """The values are columns of ``storage.reads.model``."""

    DATABASE_ID = _described("database_id", description="Numeric ID, in order of creation.")
    NAME = _described("name", description="Name, by Unicode code point.")


@strawberry.enum(description="Fields to sort executions by.")
class ExecutionOrderField(Enum):
    """The values are columns of ``storage.reads.model``."""

    DATABASE_ID = _described("database_id", description="Numeric ID, in order of start.")
    STARTED_AT = _described("started_at", description="Start time.")
    REQUESTED_AT = _described("requested_at", description="Time of the request.")
    FINISHED_AT = _described(
        "finished_at", description="End time. Running executions count as later than all others."
    )
