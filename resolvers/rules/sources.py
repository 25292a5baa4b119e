"""Check writes to sources and profiles: built-in rows are read-only, settings must fit a kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from resolvers.errors.catalogue import FieldProblem, bad_input, bad_value, conflict, not_found
from resolvers.execution.secrets import SecretBox, SecretError
from resolvers.execution.sources.catalogue import catalogue_json
from resolvers.execution.sources.protocol import SourceKind, secret_names
from resolvers.execution.sources.registry import known_kinds
from resolvers.rules.keys import Path
from resolvers.values.strict_json import find_nul
from resolvers.values.validation import problems
from storage.database.rows import Row
from storage.database.transaction import Transaction
from storage.writes.rows import find_row


async def require_own(transaction: Transaction, table: str, row_id: int) -> Row:
    """Return a profile or source that is not built in; raise ``NOT_FOUND`` or ``CONFLICT``."""
    row = await find_row(transaction, table, "id", row_id)
    if row is None:
        raise not_found(f"there is no such {table}")
    if row["built_in"]:
        raise conflict(f"the {table} {row['name']} is built in and cannot be changed")
    return row


@dataclass(frozen=True, slots=True)
class CheckedSettings:
    """The settings of a source, which fit its kind."""

    settings: bytes
    """Without the secrets, as JSON."""
    secrets: Mapping[str, str]
    """The secrets by name."""
    catalogue: bytes
    """What a source with these settings offers, as JSON."""

    def columns(self, source_id: int, box: SecretBox) -> dict[str, object]:
        """Return the columns that store them, with the secrets encrypted for this source.

        Raises:
            GatewayError: ``CONFLICT`` if the gateway has no key.
        """
        try:
            sealed = box.seal(source_id, self.secrets)
        except SecretError as error:
            raise conflict(str(error)) from None
        return {
            "settings": self.settings,
            "secrets": orjson.dumps(sealed),
            "catalogue": self.catalogue,
        }


def opened_secrets(source: Row, box: SecretBox) -> dict[str, str]:
    """Return the secrets of a stored source.

    Raises:
        GatewayError: ``CONFLICT`` if they cannot be decrypted.
    """
    try:
        return box.open(source["id"], orjson.loads(source["secrets"]))
    except SecretError as error:
        raise conflict(str(error)) from None


def check_settings(
    kind: str,
    settings: dict[str, Any],
    kinds: Mapping[str, SourceKind],
    stored_secrets: Mapping[str, str],
    path: Path,
) -> CheckedSettings:
    """Return a source's settings as they are stored, the secret ones apart from the others.

    Args:
        kinds: The kinds that this gateway knows, by name.
        stored_secrets: Secrets, decrypted, to keep unless ``settings`` has a value for them.
        path: Path of the source or its changes in the arguments.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` with every problem. A secret is never repeated in one.
    """
    if kind not in kinds:
        raise bad_value(
            (*path, "kind"), f'expected one of the kinds {known_kinds(kinds)}, got "{kind}"'
        )
    model = kinds[kind].settings
    secrets = secret_names(model)
    path = (*path, "settings")
    nul = find_nul(settings)
    if nul is not None:
        raise bad_value((*path, *nul), "must not contain the NUL character")
    merged = {
        name: value for name, value in {**stored_secrets, **settings}.items() if value is not None
    }
    try:
        checked: BaseModel = model.model_validate(merged)
    except ValidationError as error:
        found = problems(error, path)
        raise bad_input(
            *(
                FieldProblem(problem.path, "does not fit")  # without the secret value
                if secrets.intersection(problem.path[len(path) : len(path) + 1])
                else problem
                for problem in found.described
            ),
            more=found.more,
        ) from None
    shown = checked.model_dump(mode="json", exclude=set(secrets), exclude_unset=True)
    hidden = {name: getattr(checked, name) for name in sorted(secrets & checked.model_fields_set)}
    try:
        return CheckedSettings(
            orjson.dumps(shown),
            {name: value.get_secret_value() for name, value in hidden.items() if value},
            catalogue_json(kinds[kind].catalogue(checked)),
        )
    except TypeError:  # the model accepts a lone surrogate, or a number beyond 64 bits
        raise bad_value(path, "holds a number or a text that JSON cannot hold") from None
