"""Provide the parts that all mutations share: the decorator, arguments, IDs and payloads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import strawberry
from strawberry import UNSET

from resolvers.errors.catalogue import bad_value
from resolvers.schema.types import Process
from resolvers.values.enums import Permission
from resolvers.values.ids import read_id_of

Value = TypeVar("Value")

ProcessId = Annotated[strawberry.ID, strawberry.argument(description="Opaque ID of the process.")]
CHANGES = strawberry.argument(
    description="Fields to change. Fields that are left out keep their values."
)
Position = Annotated[
    int | None,
    strawberry.argument(description="Position, starting at 1. Defaults to the end."),
]
NewPosition = Annotated[int, strawberry.argument(description="New position, starting at 1.")]
OfProcess = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Process that it must belong to, if given."),
]
IfVersion = Annotated[
    str | None,
    strawberry.argument(
        description="`version` that the process must have. If it has another one, nothing is"
        " changed, and the error is CONFLICT. Defaults to any version."
    ),
]


def new_argument(noun: str) -> Any:
    """Return the annotation of the argument that holds an object to create."""
    return strawberry.argument(description=f"The {noun} to create.")


@strawberry.type(description="Result of removing an action or an input from a process.")
class RemovedPayload:
    removed_id: strawberry.ID = strawberry.field(description="Opaque ID of the removed object.")
    process: Process = strawberry.field(description="The process after the change.")


@strawberry.type(description="Result of deleting an object.")
class DeletedPayload:
    deleted_id: strawberry.ID = strawberry.field(description="Opaque ID of the deleted object.")


def mutation(
    permission: Permission, description: str
) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """Return a decorator that makes a method a mutation requiring ``permission``.

    ``resolvers.schema.build`` checks the permission. The return type of a mutation is nullable, so
    that one that fails leaves the results of the others in place.
    """
    decorate: Callable[[Callable[..., Awaitable[Any]]], Any] = strawberry.mutation(
        description=f"{description} Requires {permission.name}.",
        metadata={"permission": permission},
    )
    return decorate


def read_id(text: str, type_name: str, argument: str) -> int:
    """Return the database ID in an argument.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` if it is not the ID of an object of this type.
    """
    try:
        return read_id_of(text, type_name)
    except ValueError as error:
        raise bad_value((argument,), str(error)) from None


def read_optional_id(text: str | None, type_name: str, argument: str) -> int | None:
    """Return the database ID in an argument, or None if it is left out, null or empty."""
    return read_id(text, type_name, argument) if text else None


def none_if_unset(value: Value | None) -> Value | None:
    """Return the value of an optional argument, for which null is the same as leaving it out."""
    return None if value is UNSET else value


def written(**values: object) -> Any:
    """Return what a mutation wrote, from which its payload is read.

    Args:
        **values: By field of the payload, the database ID of the row that it shows, or the value
            itself if the field is a scalar.
    """
    return values
