"""Turn the actions of definitions into calls of sources, with their settings and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial

import orjson
from pydantic import BaseModel, ValidationError

from resolvers.execution.definition import ActionDefinition, SourceDefinition
from resolvers.execution.patience import until_read
from resolvers.execution.plan import Step
from resolvers.execution.secrets import SecretBox, SecretError
from resolvers.execution.sources.protocol import Call, SourceKind
from storage.database.database import Database
from storage.execution.definitions import read_secrets


class UnusableSourceError(Exception):
    """A source cannot be used. The message says why, and ``code`` is the error code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


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
            settings = _checked(kind.settings, orjson.dumps(source.settings), source.secrets)
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
            UnusableSourceError: The source cannot be used.
        """
        source = action.source
        kind = self.kinds.get(source.kind)
        if kind is None:
            message = f'this gateway has no source kind "{source.kind}"'
            raise UnusableSourceError(message, "kind_missing")
        settings = await self._settings(kind, source)
        return kind, Call(action.action, step.arguments, settings, key, step.attempt, seconds)

    async def _settings(self, kind: SourceKind, source: SourceDefinition) -> BaseModel:
        secrets = await self._secrets(source) if source.secrets else {}
        try:
            if not secrets:
                return _checked(kind.settings, orjson.dumps(source.settings), ())
            return kind.settings.model_validate({**source.settings, **secrets})
        except ValidationError:
            message = "the settings of the source do not fit its kind"
            raise UnusableSourceError(message, "source_failed") from None

    async def _secrets(self, source: SourceDefinition) -> dict[str, str]:
        text = await until_read(partial(read_secrets, self._database, source.id))
        if text is None:
            raise UnusableSourceError("the source was deleted", "source_failed")
        try:
            return self._box.open(source.id, orjson.loads(text))
        except SecretError as error:
            raise UnusableSourceError(str(error), "source_failed") from None


@lru_cache(maxsize=64)
def _checked(model: type[BaseModel], settings: bytes, secrets: tuple[str, ...]) -> BaseModel:
    """Return settings as an instance of their model, with a text in the place of each secret.

    Checking a hundred operations takes milliseconds, and each step needs them.

    Args:
        model: The model of the settings of a kind.
        settings: JSON, without the secrets.
        secrets: The names of the secrets that are set.

    Raises:
        ValidationError: They do not fit the model.
    """
    return model.model_validate({**orjson.loads(settings), **dict.fromkeys(secrets, "secret")})
