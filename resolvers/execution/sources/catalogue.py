"""Write the catalogues of kinds and sources as the JSON that the schema shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from resolvers.execution.sources.protocol import Catalogue, SourceKind, secret_names


def catalogue_json(catalogue: Catalogue) -> bytes:
    """Return a catalogue as JSON: its fields in camel case."""
    return orjson.dumps(_members(catalogue))


def kinds_json(kinds: Mapping[str, SourceKind]) -> str:
    """Return the kinds of sources that can be created, as a JSON list in the order of names."""
    return orjson.dumps([_kind(name, kind) for name, kind in sorted(kinds.items())]).decode()


def _kind(name: str, kind: SourceKind) -> dict[str, Any]:
    return {
        "name": name,
        "settings": kind.settings.model_json_schema(),
        "secretSettings": sorted(secret_names(kind.settings)),
        **_members(kind.catalogue(None)),
    }


def _members(catalogue: Catalogue) -> dict[str, Any]:
    return {
        "actions": [
            {
                "name": action.name,
                "description": action.description,
                "idempotent": action.idempotent,
                "arguments": [
                    {
                        "reference": argument.reference,
                        "type": argument.type,
                        "required": argument.required,
                        "description": argument.description,
                    }
                    for argument in action.arguments
                ],
            }
            for action in catalogue.actions
        ],
        "takesAnyAction": catalogue.takes_any_action,
        "takesAnyArgument": catalogue.takes_any_argument,
    }
