"""Turn the actions of definitions into calls of sources, with their settings and secrets."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping

import orjson
from pydantic import BaseModel, ValidationError

from resolvers.execution.definition import ActionDefinition, SourceDefinition
from resolvers.execution.plan import Step
from resolvers.execution.secrets import SecretBox, SecretError
from resolvers.execution.sources.protocol import ActionFailedError, Call, SourceKind
from storage.database.database import Database
from storage.database.errors import StorageError
from storage.execution.definitions import read_secrets

_KEYS = uuid.UUID("5f0b8b8e-6f5c-4b0e-9d53-0d1d6a8f7a55")
"""The namespace of the idempotency keys that sources get."""
_PAUSE = 0.25
"""Seconds before a read of secrets that failed is repeated."""


class Sources:
    """The source kinds of this gateway, and the secrets of sources.

    Args:
        database: The database.
        kinds: The installed kinds, by name.
        secrets: Decrypts the secrets.
    """

    def __init__(
        self, database: Database, kinds: Mapping[str, SourceKind], secrets: SecretBox
    ) -> None:
        self._database = database
        self._box = secrets
        self.kinds = kinds

    def is_idempotent(self, action: ActionDefinition) -> bool:
        """Whether an action may be repeated although it may have had its effect."""
        if action.idempotent is not None:
            return action.idempotent
        source = action.source
        kind = self.kinds.get(source.kind)
        if kind is None:
            return False
        try:  # the values of secrets do not matter here
            settings = kind.settings.model_validate(
                {**source.settings, **dict.fromkeys(source.secrets, "secret")}
            )
        except ValidationError:
            return False
        return kind.is_idempotent(action.action, settings)

    async def call(
        self, action: ActionDefinition, step: Step, key: str, seconds: float
    ) -> tuple[SourceKind, Call]:
        """Return the kind that performs an attempt, and what it is asked to do.

        Secrets are read only now. While the database fails, this waits.

        Args:
            action: The action.
            step: The step, which has begun.
            key: Identifies the step among all steps, here and elsewhere.
            seconds: Seconds that the attempt may take.

        Raises:
            ActionFailedError: The source cannot be used.
        """
        source = action.source
        kind = self.kinds.get(source.kind)
        if kind is None:
            raise ActionFailedError(f'this gateway has no source kind "{source.kind}"')
        settings = await self._settings(kind, source)
        idempotency_key = str(uuid.uuid5(_KEYS, key))
        return kind, Call(
            action.action, step.arguments, settings, idempotency_key, step.attempt, seconds
        )

    async def _settings(self, kind: SourceKind, source: SourceDefinition) -> BaseModel:
        secrets: dict[str, str] = {}
        if source.secrets:
            secrets = await self._secrets(source)
        try:
            return kind.settings.model_validate({**source.settings, **secrets})
        except ValidationError:
            raise ActionFailedError("the settings of the source do not fit its kind") from None

    async def _secrets(self, source: SourceDefinition) -> dict[str, str]:
        while True:
            try:
                text = await read_secrets(self._database, source.id)
                break
            except StorageError:
                await asyncio.sleep(_PAUSE)
        if text is None:
            raise ActionFailedError("the source was deleted")
        try:
            return self._box.open(source.id, orjson.loads(text))
        except SecretError as error:
            raise ActionFailedError(str(error)) from None
