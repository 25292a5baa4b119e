"""In charge of what writes mean: the rules of the model, one function for each thing to do.

Every function runs inside the caller's transaction; a ``GatewayError`` rolls all of it back. The
path that an error is located at is that of the mutation's arguments (``at``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from resolvers.errors.catalogue import FieldProblem, bad_input, bad_value, conflict, not_found
from resolvers.execution.sources.protocol import SourceKind, secret_names
from resolvers.execution.sources.registry import known_kinds
from resolvers.rules.keys import Path
from resolvers.values.strict_json import find_nul
from resolvers.values.validation import problems
from storage.database.database import Row, Transaction
from storage.writes.rows import find_row

# Sources and profiles --------------------------------------------------------------------------


async def require_own(transaction: Transaction, table: str, row_id: int) -> Row:
    """A profile or source that is not built in; raises ``NOT_FOUND`` or ``CONFLICT``."""
    row = await find_row(transaction, table, "id", row_id)
    if row is None:
        raise not_found(f"there is no such {table}")
    if row["built_in"]:
        raise conflict(f"the {table} {row['name']} is built in and cannot be changed")
    return row


def check_settings(
    kind: str,
    given: dict[str, Any],
    kinds: Mapping[str, SourceKind],
    kept: dict[str, Any],
    at: Path,
) -> dict[str, bytes]:
    """The columns that a source's settings are stored in: what is shown, and what is not.

    Args:
        kept: secrets that stay where ``given`` says nothing of them.
    """
    if kind not in kinds:
        raise bad_value(
            (*at, "kind"), f'expected one of the kinds {known_kinds(kinds)}, got "{kind}"'
        )
    model = kinds[kind].settings
    secrets = secret_names(model)
    place = (*at, "settings")
    nul = find_nul(given)
    if nul is not None:
        raise bad_value((*place, *nul), "must not contain the NUL character")
    settings = {name: value for name, value in (kept | given).items() if value is not None}
    try:
        checked: BaseModel = model.model_validate(settings)
    except ValidationError as error:
        raise bad_input(
            *(
                FieldProblem(problem.path, "does not fit")  # and is not repeated
                if secrets.intersection(problem.path[len(place) : len(place) + 1])
                else problem
                for problem in problems(error, place)
            )
        ) from None
    shown = checked.model_dump(mode="json", exclude=secrets, exclude_unset=True)
    hidden = {name: getattr(checked, name) for name in sorted(secrets & checked.model_fields_set)}
    try:
        return {
            "settings": orjson.dumps(shown),
            "secrets": orjson.dumps({n: v.get_secret_value() for n, v in hidden.items() if v}),
        }
    except TypeError:  # what the model let pass: a lone surrogate, or a number beyond 64 bits
        raise bad_value(place, "holds a number or a text that JSON cannot hold") from None
