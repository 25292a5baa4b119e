"""Write the transitions of executions: each is one statement that its fence guards.

An execution that a caller asked for, and all that are nested in it, are one tree with one owner.
The ``seq`` of its root is the fence: a transition first increments it, and does so only if it has
the value that the owner knows, the owner is the same, and the tree is still running. If it has not,
the statement writes nothing. Whoever takes a tree over increments ``seq`` too, so that nothing that
an earlier owner still sends has an effect.

A transition consists of writes (``storage.execution.writes``), joined to one statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from storage.execution.writes import (
    BeginNested,
    Ending,
    EndNested,
    EndStep,
    StartNested,
    StartStep,
    Values,
    Write,
)
from storage.writes.rows import TOUCHED


class Fence(NamedTuple):
    """The right to write a tree."""

    root_id: int
    seq: int
    owner: UUID

    def at(self, seq: int) -> Fence:
        """Return the fence after a transition."""
        return Fence(self.root_id, seq, self.owner)


def transition(
    fence: Fence,
    writes: Sequence[Write],
    *,
    starts: bool = False,
    end: Ending | None = None,
    releases: bool = False,
) -> tuple[str, list[object]]:
    """Return the statement of a transition, and its values.

    Its row has the new ``seq``, and the ``status``, ``error`` and ``error_code`` of the root. If an
    execution has ended, ``others_wait`` is whether others of its process are queued. ``nested_id``
    and ``nested_status`` are those of the last nested execution that was written.
    Without a row, the fence did not hold.

    Args:
        fence: What the owner knows.
        writes: What is written.
        starts: Whether a step starts. None does after the execution was canceled.
        end: The end of the root.
        releases: Whether the owner gives the tree up, so that another worker goes on with it.
    """
    if len(writes) > _MOST_WRITES or (end is not None and end.flip is not None):
        return _built(fence, writes, starts, end, releases)
    values: list[object] = [fence.root_id, fence.seq, fence.owner]
    if end is not None:
        values += (end.status, end.error, end.error_code)
    for write in writes:
        if not isinstance(write, StartStep | EndStep):
            return _built(fence, writes, starts, end, releases)
        values += write
    shape = (*map(type, writes), starts, end is None, releases)
    sql = _TEXTS.get(shape)
    if sql is None:
        sql, _ = _built(fence, writes, starts, end, releases)
        _TEXTS[shape] = sql
    return sql, values


_MOST_WRITES = 2
"""Writes of a transition whose text is kept. That is enough for the steps of a process."""
_TEXTS: dict[tuple[object, ...], str] = {}
"""The texts of the transitions that most executions consist of. Only their values differ."""


def _built(
    fence: Fence, writes: Sequence[Write], starts: bool, end: Ending | None, releases: bool
) -> tuple[str, list[object]]:
    """Return what ``transition`` returns."""
    value = Values()
    conditions = [
        f"id = {value(fence.root_id, 'integer')}",
        f"seq = {value(fence.seq, 'bigint')}",
        f"owner = {value(fence.owner, 'uuid')}",
        "status = 'running'",
    ]
    if starts:
        conditions.append("cancel_requested_at IS NULL")
    parts = []
    endings = [write.ending for write in writes if isinstance(write, EndNested)]
    flips = [each.flip for each in (*endings, end) if each is not None and each.flip is not None]
    for flip in flips:
        # At most one. Its row is locked before that of the root, in the order of admissions.
        state = value(flip.enabled, "boolean")
        parts.append(
            f"gate AS MATERIALIZED (SELECT id, enabled <> {state} AS changed FROM process"
            f" WHERE id = {value(flip.process_id, 'integer')} FOR NO KEY UPDATE)"
        )
        conditions.append("(SELECT count(*) FROM gate) >= 0")
    ending = "" if end is None else f", {end.assignments(value)}"
    if releases:
        ending += ", owner = NULL"
    parts.append(
        f"fence AS (UPDATE execution SET seq = seq + 1{ending} WHERE {' AND '.join(conditions)}"
        " RETURNING id, seq, status, error, error_code, process_id, profile_id, profile_name,"
        " dry_run)"
    )
    nested_id, nested_status = "NULL::integer", "NULL"
    for number, write in enumerate(writes):
        parts.append(f"write_{number} AS ({write.sql(value)})")
        if isinstance(write, StartNested | BeginNested | EndNested):
            nested_id = f"(SELECT id FROM write_{number})"
            nested_status = f"(SELECT status FROM write_{number})"
    if flips:
        parts.append(
            f"flip AS (UPDATE process SET enabled = NOT enabled, {TOUCHED} FROM fence"
            " WHERE process.id = (SELECT id FROM gate WHERE NOT changed))"
        )
    others_wait = "false"
    if end is not None or endings:
        ended = "fence.process_id"
        if end is None:
            last = next(write for write in reversed(writes) if isinstance(write, EndNested))
            ended = value(last.process_id, "integer")
        others_wait = (
            f"EXISTS (SELECT FROM execution AS other WHERE other.process_id = {ended}"
            " AND other.status = 'queued')"
        )
    sql = (
        f"WITH {', '.join(parts)} SELECT seq, status, error, error_code,"
        f" {others_wait} AS others_wait, {nested_id} AS nested_id,"
        f" {nested_status} AS nested_status FROM fence"
    )
    return sql, value.values
