"""Models of the request bodies of the /processes dialect."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, WrapValidator, model_validator

from resolvers.rules.fields import DatabaseId
from resolvers.rules.items import Item, ItemsCheck, ValidItems, accept_items, items_validator
from resolvers.values.text import Description, Name
from rest_compat.body_model import Body, JsonSchema, NullableBody

_NO_TEXT = "expected name, comment or both"
_ABSENT: JsonSchema = {"not": {}}
_SOME_TEXT_SCHEMA: JsonSchema = {"not": {"properties": {"name": _ABSENT, "comment": _ABSENT}}}
"""Describes an object with a name, a comment or both. Client generators fail on ``anyOf``."""


class _Texts(Body):
    """The texts of a process. At least one is required."""

    model_config = ConfigDict(json_schema_extra=_SOME_TEXT_SCHEMA)

    name: Name | None = Field(None, description="The new name.")
    comment: Description | None = Field(
        None, serialization_alias="description", description="The new comment."
    )

    @model_validator(mode="after")
    def _not_empty(self) -> _Texts:
        if self.name is None and self.comment is None:
            raise ValueError(_NO_TEXT)
        return self


class ProcessTextsBody(_Texts):
    """The changes to one of several processes."""

    id: DatabaseId = Field(
        serialization_alias="databaseId", description="The ID of the process, unique in the list."
    )


def _require_text(item: Item) -> Item:
    if item.get("name") is None and item.get("description") is None:
        raise ValueError(_NO_TEXT)
    return item


_ITEMS = items_validator(
    ProcessTextsBody,
    {"database_id": "id", "name": "name", "description": "comment"},
    _require_text,
    are_parsed=True,
)
"""Validates the list as items of ``resolvers.rules.models.ProcessTextsModel``."""


def processes_check() -> ItemsCheck:
    """Return what validates the list while it is parsed."""
    return ItemsCheck(_ITEMS, "processes")


def _valid_items(value: object, _: object) -> ValidItems:
    return accept_items(_ITEMS, value, "processes")


class ProcessesBody(NullableBody):
    """The changes to several processes."""

    processes: Annotated[list[ProcessTextsBody], WrapValidator(_valid_items)] = Field(
        serialization_alias="changes",
        description="The changes. Either all of them are applied, or none. At most as many as the"
        " setting `max_items` allows: 20,000 by default.",
    )

    def variables(self) -> dict[str, Any]:
        """Return the list as it is: it was validated as the mutation's items."""
        return {"changes": self.processes}


class ProcessChangesBody(_Texts):
    """The changes to one process."""

    id: DatabaseId | None = Field(
        None, exclude=True, description="The ID. Optional; it has to equal the ID in the path."
    )
