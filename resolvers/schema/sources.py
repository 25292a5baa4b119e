"""Define the types that show what source kinds and sources offer.

Their values are the JSON of ``resolvers.execution.sources.catalogue``.
"""

from __future__ import annotations

import strawberry
from strawberry.scalars import JSON


@strawberry.type(description="An argument that an action of a source takes.")
class SourceArgument:
    reference: str = strawberry.field(description="Name of the argument.")
    type: str = strawberry.field(description="Type, like that of an input; `json` for any JSON.")
    required: bool = strawberry.field(description="Whether the action fails without it.")
    description: str = strawberry.field(description="Description. May be empty.")


@strawberry.type(description="An action that a source offers.")
class SourceAction:
    name: str = strawberry.field(description="Name, which `Action.action` refers to.")
    description: str = strawberry.field(description="Description. May be empty.")
    idempotent: bool = strawberry.field(
        description="Whether it has the same effect if it is repeated."
    )
    arguments: list[SourceArgument] = strawberry.field(description="Arguments, in order.")


@strawberry.type(description="A kind of source, which a source can be created with.")
class SourceKind:
    name: str = strawberry.field(description="Name of the kind.")
    settings: JSON = strawberry.field(description="JSON Schema of the settings of a source.")
    secret_settings: list[str] = strawberry.field(
        description="Names of the settings that are secret."
    )
    actions: list[SourceAction] = strawberry.field(
        description="Actions that each source of the kind offers."
    )
    takes_any_action: bool = strawberry.field(
        description="Whether sources take other actions, such as those that their settings declare."
    )
    takes_any_argument: bool = strawberry.field(
        description="Whether the listed actions take other arguments than those listed."
    )


@strawberry.type(description="What a source offers to actions, without its settings.")
class AvailableSource:
    name: str = strawberry.field(description="Name, which `NewAction.source` refers to.")
    kind: str = strawberry.field(description="Kind of the source.")
    built_in: bool = strawberry.field(description="Whether the source is part of the gateway.")
    actions: list[SourceAction] = strawberry.field(description="Actions that it offers.")
    takes_any_action: bool = strawberry.field(
        description="Whether it takes other actions than those listed."
    )
    takes_any_argument: bool = strawberry.field(
        description="Whether the listed actions take other arguments than those listed."
    )
