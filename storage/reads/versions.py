"""Compute the version of a process in SQL: a hash of its whole view.

The whole view is what ``GET /process/{idProcess}`` returns: the process, its espace, its actions
with the names of their sources, its inputs, and the profiles that are authorized on it; and the
settings of the process, its actions and its inputs that only GraphQL shows. It is the same for
every viewer who can see the process. Two views that are equal have the same version, whoever wrote
them and however often they changed in between.

The hash is computed where it is selected, and not stored. It is exact for every writer, and costs
writers nothing.
"""

from __future__ import annotations

from collections.abc import Iterable


def _texts(*columns: str) -> Iterable[str]:
    """Return SQL for texts, none of which is null, as JSON strings."""
    return (f"json_text({column})" for column in columns)


def _row(*values: str) -> str:
    """Return SQL for the values of a row, none of which is null, as text."""
    return f"concat_ws(',', {', '.join(values)})"


def _or_empty(*values: str) -> Iterable[str]:
    """Return SQL for values that may be null, as text. None of them is empty otherwise."""
    return (f"coalesce(({value})::text, '')" for value in values)


CONCURRENCY = (
    "CASE WHEN {t}.mode = 'switch' AND {t}.concurrency = 'parallel' THEN 'queued'"
    " ELSE {t}.concurrency END"
)
"""SQL for the concurrency of the process ``{t}``: a switch never runs in parallel."""

_OWN = _row(
    "{t}.id",
    *_texts("{t}.reference", "{t}.name", "{t}.name_enable", "{t}.name_disable"),
    *_texts("{t}.description", "{t}.icon"),
    "{t}.mode",
    "{t}.enabled",
    CONCURRENCY,
    *_or_empty("{t}.timeout"),
)
_ESPACE = (
    "(SELECT "
    + _row("e.id", *_texts("e.reference", "e.name", "e.description", "e.icon"))
    + " FROM espace AS e WHERE e.id = {t}.espace_id)"
)
_ACTION = _row(
    "a.id",
    *_texts("s.name", "a.action"),
    "a.enabled",
    "a.arguments",
    *_or_empty("a.timeout"),
    "a.retries",
    "a.on_failure",
    *_or_empty("a.idempotent"),
)
# The join takes less time than a sub-select for each action, and the order of the aggregate less
# than that of its rows.
_ACTIONS = (
    f"(SELECT string_agg({_ACTION}, ';' ORDER BY a.position) FROM action AS a"
    " JOIN source AS s ON s.id = a.source_id WHERE a.process_id = {t}.id)"
)
_INPUT = _row(
    "i.id",
    *_texts("i.reference", "i.name", "i.type"),
    "i.enabled",
    *_texts("i.label", "i.help"),
    "i.required",
    *_or_empty("i.min", "i.max", "i.step"),
    *_texts("i.unit"),
    *_or_empty("json_text(i.pattern)", "to_json(i.choices)", "json_text(i.default_value)"),
)
_INPUTS = (
    f"(SELECT string_agg({_INPUT}, ';' ORDER BY i.position) FROM input AS i"
    " WHERE i.process_id = {t}.id)"
)
_PROFILES = (
    f"(SELECT string_agg({_row('p.id', *_texts('p.name'))}, ';' ORDER BY p.id)"
    " FROM authorisation AS g JOIN profile AS p ON p.id = g.profile_id"
    " WHERE g.process_id = {t}.id)"
)
# Two views never have the same text: the separators cannot be mistaken for parts of a text, which
# is a JSON string.
_SECTIONS = ", '|', ".join((_OWN, _ESPACE, _ACTIONS, _INPUTS, _PROFILES))
_VIEW = f"concat({_SECTIONS})"

VERSION_LENGTH = 32
PROCESS_VERSION = f"left(encode(sha256(convert_to({_VIEW}, 'UTF8')), 'hex'), {VERSION_LENGTH})"
"""SQL for the version of the process ``{t}``: hexadecimal digits."""
