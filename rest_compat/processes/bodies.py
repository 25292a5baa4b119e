"""In charge of the bodies of the /processes dialect."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticKnownError

from resolvers.values.ids import MAX_DATABASE_ID
from resolvers.values.text import Description, Name, describe
from rest_compat.body_model import ID_SCHEMA, Body, NullableBody


def _id(value: object) -> int:
    if value is None:
        raise PydanticKnownError("missing")
    if type(value) is int and 0 < value <= MAX_DATABASE_ID:
        return value
    raise ValueError(f"expected a whole number from 1 to {MAX_DATABASE_ID}, got {describe(value)}")


Id = Annotated[int, BeforeValidator(_id), WithJsonSchema(ID_SCHEMA)]


class _Texts(Body):
    """The texts of a process; at least one of them."""

    name: Name | None = Field(None, description="A new name.")
    comment: Description | None = Field(
        None, serialization_alias="description", description="A new comment."
    )

    @model_validator(mode="after")
    def _not_empty(self) -> _Texts:
        if self.name is None and self.comment is None:
            raise ValueError("expected name, comment or both")
        return self


class ProcessTextsBody(_Texts):
    """What to change of one of many processes."""

    id: Id = Field(serialization_alias="databaseId", description="The process; each once.")


class ProcessesBody(NullableBody):
    """What to change of many processes."""

    processes: list[ProcessTextsBody] = Field(
        serialization_alias="changes", description="All of them are changed, or none."
    )


class ProcessChangesBody(_Texts):
    """What to change of one process."""

    id: Id | None = Field(
        None, exclude=True, description="The id in the path, if it is to be said twice."
    )
