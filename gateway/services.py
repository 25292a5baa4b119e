"""Open and close the parts of a running gateway."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.auth.tokens import Claims, TokenKeys, require_unexpired
from gateway.engine import OnLease, engine_of, ignore_lease
from gateway.http.rate_limit import RateLimits
from gateway.settings.model import Settings
from resolvers.access.directory import AccessDirectory
from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import missing_token
from resolvers.execution.engine import ExecutionEngine
from resolvers.execution.sources.catalogue import kinds_json
from resolvers.execution.sources.registry import installed_kinds
from resolvers.operations.compile import OperationCompiler
from resolvers.operations.limits import Limits
from resolvers.operations.reads import Reads
from resolvers.operations.run import Operations
from resolvers.operations.subscribe import Subscriptions
from resolvers.schema.build import build_schema
from rest_compat.dialects import build_dialects
from rest_compat.handler import CompiledDialect
from storage.database.compaction import Compactor
from storage.database.database import Database
from storage.database.fairness import borrower


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a token, for as long as a connection stays open."""

    claims: Claims
    directory: AccessDirectory

    def viewer(self) -> Viewer:
        """Return the viewer as of now, without waiting for the database.

        Raises:
            GatewayError: ``UNAUTHENTICATED`` or ``TOKEN_EXPIRED``.
        """
        require_unexpired(self.claims)
        return self.directory.known(self.claims.profile_id, self.claims.token_id)


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that the HTTP server uses."""

    settings: Settings
    database: Database
    keys: TokenKeys
    directory: AccessDirectory
    operations: Operations
    executions: ExecutionEngine
    subscriptions: Subscriptions
    dialects: tuple[CompiledDialect, ...]
    rates: RateLimits

    async def authenticate(self, token: str | None) -> Viewer:
        """Return the viewer that a token identifies. Rejecting an invalid token needs no database.

        Raises:
            GatewayError: ``UNAUTHENTICATED``, ``TOKEN_EXPIRED``, ``RATE_LIMITED`` or
                ``DATABASE_UNAVAILABLE``.
        """
        claims = self._verify(token)
        await self._spend(claims)
        return await self.directory.viewer(claims.profile_id, claims.token_id)

    async def caller(self, token: str | None) -> Caller:
        """Return the holder of a token. Raises like ``authenticate``."""
        claims = self._verify(token)
        await self._spend(claims)
        await self.directory.viewer(claims.profile_id, claims.token_id)
        return Caller(claims, self.directory)

    def holder(self, token: str) -> Caller:
        """Return the holder of a token that was authenticated with this request."""
        return Caller(self.keys.verify(token), self.directory)

    async def admit(self, caller: Caller) -> Viewer:
        """Return the viewer for one more operation of a caller. Raises like ``authenticate``."""
        require_unexpired(caller.claims)
        await self._spend(caller.claims)
        return await self.directory.viewer(caller.claims.profile_id, caller.claims.token_id)

    def _verify(self, token: str | None) -> Claims:
        if not token:
            raise missing_token()
        return self.keys.verify(token)

    async def _spend(self, claims: Claims) -> None:
        if self.rates.limits_tokens:
            await self.rates.spend_token(claims.token_id)
        borrower.set(claims.token_id)  # connections are shared fairly between tokens


def compiler_of(settings: Settings) -> OperationCompiler:
    """Return the compiler of operations, which needs no database."""
    limits = {name: getattr(settings, name) for name in Limits.__dataclass_fields__}
    kinds = installed_kinds()
    return OperationCompiler(
        build_schema(),
        Limits(**limits),
        cache_bytes=settings.operation_cache_bytes,
        source_kinds=kinds_json(kinds),
        suggestions=settings.introspection != "off",
        kinds=[*kinds],
    )


def dialects_of(settings: Settings, compiler: OperationCompiler) -> tuple[CompiledDialect, ...]:
    """Return both legacy dialects, validated against the schema. This needs no database."""
    return build_dialects(compiler, process_dialect_status=settings.process_dialect_status)


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings, database: Database, on_lease: OnLease = ignore_lease
) -> AsyncIterator[Services]:
    """Open everything that the server needs on an open database.

    Args:
        settings: The settings in force.
        database: The database.
        on_lease: Called with the ID of this worker whenever it gets a new lease.

    Raises:
        RouteError: A legacy route does not fit the schema.
        SettingsError: The token secret cannot be read or created, secrets of sources were encrypted
            with unknown keys, or the client of Redis is needed and not installed.
        DatabaseUnavailableError: The database is not available.
    """
    compiler = compiler_of(settings)
    dialects = dialects_of(settings, compiler)
    keys = TokenKeys.from_settings(settings, create=True)
    rates = RateLimits.from_settings(settings)
    engine = await engine_of(settings, database, on_lease)
    directory = AccessDirectory(database)
    operations = Operations(
        compiler,
        database,
        engine,
        Reads(
            database,
            max_bytes=settings.kept_answers_bytes,
            audit_one_in=settings.kept_answers_audit,
        ),
        access_changed=directory.changed,
        introspection=settings.introspection,
        max_items=settings.max_items,
    )
    subscriptions = Subscriptions(operations, database, directory, settings.subscription_interval)
    database.when_written = subscriptions.watcher.wake
    await directory.start()
    compactor = Compactor(database)
    try:
        yield Services(
            settings, database, keys, directory, operations, engine, subscriptions, dialects, rates
        )
    finally:
        await subscriptions.close()
        await engine.close()
        await compactor.close()
        await directory.close()
        await rates.close()
