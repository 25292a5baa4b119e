"""In charge of the bodies of the /processes dialect."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WrapValidator, model_validator

from resolvers.rules.items import Item, ValidItems, items_validator
from resolvers.rules.models import DatabaseId
from resolvers.values.text import Description, Name
from rest_compat.body_model import Body, NullableBody

_NO_TEXT = "expected name, comment or both"


class _Texts(Body):
    """The texts of a process; at least one of them."""

    name: Name | None = Field(None, description="A new name.")
    comment: Description | None = Field(
        None, serialization_alias="description", description="A new comment."
    )

    @model_validator(mode="after")
    def _not_empty(self) -> _Texts:
        if self.name is None and self.comment is None:
            raise ValueError(_NO_TEXT)
        return self


class ProcessTextsBody(_Texts):
    """What to change of one of many processes."""

    id: DatabaseId = Field(serialization_alias="databaseId", description="The process; each once.")


def _require_text(item: Item) -> Item:
    if item.get("name") is None and item.get("description") is None:
        raise ValueError(_NO_TEXT)
    return item


_ITEMS = items_validator(
    ProcessTextsBody,
    {"database_id": "id", "name": "name", "description": "comment"},
    _require_text,
)
"""Validates the list as items of ``resolvers.rules.models.ProcessTextsModel``."""


def _valid_items(value: object, _: object) -> ValidItems:
    return ValidItems(_ITEMS.validate_python(value))


class ProcessesBody(NullableBody):
    """What to change of many processes."""

    processes: Annotated[list[ProcessTextsBody], WrapValidator(_valid_items)] = Field(
        serialization_alias="changes", description="All of them are changed, or none."
    )

    def variables(self) -> dict[str, Any]:
        """Return the list as it is: it was validated as the mutation's items."""
        return {"changes": self.processes}


class ProcessChangesBody(_Texts):
    """What to change of one process."""

    id: DatabaseId | None = Field(
        None, exclude=True, description="The id in the path, if it is to be said twice."
    )
