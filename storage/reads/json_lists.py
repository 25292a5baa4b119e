"""Compile lists of JSON objects that are no rows of a table, of which members are selected."""

from __future__ import annotations

from collections.abc import Mapping

from storage.reads.json_text import Pieces, elements, members, or_null, string, text_of
from storage.reads.plan import Constant, JsonFields, ReadJson, Slot
from storage.reads.rows import Compilation

JSON_LISTS: Mapping[str, str] = {
    "available_sources": """(
        SELECT coalesce(json_agg(json_build_object(
            'name', name,
            'kind', kind,
            'builtIn', built_in,
            'actions', catalogue->'actions',
            'takesAnyAction', catalogue->'takesAnyAction',
            'takesAnyArgument', catalogue->'takesAnyArgument'
        ) ORDER BY name COLLATE "C"), '[]')
        FROM source
    )""",
}
"""SQL for lists that the database holds, by the name of the root field."""


def json_list(compilation: Compilation, read: ReadJson) -> str:
    """Compile a list of objects as JSON text."""
    if isinstance(read.items, Slot):
        items = f"({compilation.parameter(read.items)})::json"
    else:
        items = JSON_LISTS[read.items]
    return text_of(_list(compilation, items, read.fields))


def _list(compilation: Compilation, items: str, fields: JsonFields) -> Pieces:
    item = compilation.alias()
    text = members(
        (field.key, string(field.value))
        if isinstance(field, Constant)
        else (
            field.key,
            or_null(f"({item}.value->'{field.name}')::text")
            if field.fields is None
            else _list(compilation, f"{item}.value->'{field.name}'", field.fields),
        )
        for field in fields
    )
    rows = f"json_array_elements({items}) WITH ORDINALITY AS {item}(value, place)"
    ordered = f"SELECT {text_of(text)} AS o FROM {rows} ORDER BY {item}.place"
    return elements(ordered, compilation.alias())
