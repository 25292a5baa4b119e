"""Define the types of values that have no ID: they are read only as a part of an object."""

from __future__ import annotations

from datetime import datetime
from typing import NewType

import strawberry

from resolvers.values.enums import ExecutionErrorCode, ProcessProblemCode

BigInt = NewType("BigInt", int)
"""The type of 64-bit IDs (``resolvers.schema.build``)."""


@strawberry.type(description="Something that cannot work as it is written.")
class ProcessProblem:
    code: ProcessProblemCode = strawberry.field(description="What it is.")
    message: str = strawberry.field(description="What it is, in words.")
    position: int | None = strawberry.field(description="Position of the action, if it is one.")
    argument: str | None = strawberry.field(
        description="Reference of the argument that it is about: one of the action, or one that the"
        " action lacks."
    )
    input: str | None = strawberry.field(
        description="Input that the placeholder names, if it is about one."
    )


@strawberry.type(description="A named value passed to an action, an execution, or a step.")
class Argument:
    reference: str = strawberry.field(description="Name of the value.")
    value: str = strawberry.field(
        description="The value. In an action, `{input}` is replaced by the value of that input."
    )


@strawberry.type(description="One attempt to perform an action.")
class StepAttempt:
    started_at: datetime = strawberry.field(description="Start time.")
    finished_at: datetime | None = strawberry.field(
        description="End time. Null while it is running."
    )
    error: str | None = strawberry.field(description="Error message. Null if it did not fail.")
    error_code: ExecutionErrorCode | None = strawberry.field(
        description="Why it did not succeed. Null if it succeeded or has not ended."
    )
    in_doubt: bool = strawberry.field(
        description="Whether its effect may or may not have happened."
    )
