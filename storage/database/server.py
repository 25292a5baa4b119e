"""Tell servers apart: nothing that is kept of one is used with another, or after its restart."""

from __future__ import annotations

from typing import TypeAlias

import asyncpg

Identity: TypeAlias = "tuple[object, ...]"
"""A server since its last start: its system identifier, timeline and start, as far as they are
known."""

# A standby has the timeline of its primary, until it is promoted and starts one of its own.
_IDENTITY = """
SELECT pg_postmaster_start_time(), system_identifier, pg_is_in_recovery(),
    CASE WHEN pg_is_in_recovery() THEN timeline_id::text
        ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
FROM pg_control_system(), pg_control_checkpoint()"""
_START = "SELECT pg_postmaster_start_time()"


async def identity_of(connection: asyncpg.Connection[asyncpg.Record]) -> Identity:
    """Return the identity of the server at the other end. Raises whatever the driver raises."""
    try:
        row = await connection.fetchrow(_IDENTITY)
    except asyncpg.InsufficientPrivilegeError:  # an administrator can revoke these functions
        row = await connection.fetchrow(_START)
    return tuple(row.values()) if row is not None else ()
