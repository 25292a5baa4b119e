"""Every field of an input model is stored: in a declared column, or by code of its own."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from resolvers.rules.columns import COLUMNS
from storage.writes.rows import _COLUMNS as WRITABLE

STORED_BY_CODE = {
    "NewProcessModel": {"espace", "actions", "inputs", "profiles", "settings_of"},
    "ProcessChangesModel": {"espace"},
    "ActionChangesModel": {"source", "action"},
    "NewSourceModel": {"settings"},
    "SourceChangesModel": {"settings"},
}


@pytest.mark.parametrize("model", COLUMNS, ids=lambda model: model.__name__)
def test_every_field_is_stored(model: type[BaseModel]) -> None:
    stored = COLUMNS[model].keys() | STORED_BY_CODE.get(model.__name__, set())
    assert stored == model.model_fields.keys()
    columns = {column.name for column in COLUMNS[model].values()}
    assert any(columns <= writable for writable in WRITABLE.values())
