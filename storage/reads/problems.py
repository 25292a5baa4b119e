"""List in SQL what of a process cannot work as it is written.

Nothing is refused because of it: legacy clients write the parts of a process in any order, and a
value in braces may be meant literally. Where an action runs a process that the viewer cannot see,
nothing is said about the inputs of that process. What a source offers is compared only for viewers
who may write processes: nobody else may read it.
"""

from __future__ import annotations

MOST_PROBLEMS = 100
"""Problems of a process that are listed."""

# A placeholder is what ``resolvers.execution.templates`` fills in. Braces are doubled, because the
# text is formatted. A quotation mark begins a member of a JSON object, and what is longer than a
# reference names nothing.
_PLACEHOLDER = r"'\{{([^{{}}]+)\}}'"
_IS_NO_NAME = r"""'^[ \t\n\r]*"'"""
_LONGEST_NAME = 255

_ACTIONS = "FROM action AS a"
_ARGUMENTS = (
    " CROSS JOIN LATERAL json_array_elements(a.arguments) WITH ORDINALITY AS g (argument, place)"
)
_CALLED = (
    " JOIN process AS called ON called.id = a.subprocess_id"
    " AND ({viewer} IS NULL OR EXISTS (SELECT FROM authorisation AS granted"
    " WHERE granted.process_id = called.id AND granted.profile_id = {viewer}))"
)
_OFFERING = (
    " JOIN source AS s ON s.id = a.source_id AND s.kind = ANY ({kinds})"
    " AND EXISTS (SELECT FROM profile AS reader WHERE reader.id = {reader}"
    " AND reader.permissions && ARRAY['process:write', 'admin'])"
)
_OFFERED = (
    "(SELECT o.action FROM (SELECT) AS one"
    " CROSS JOIN LATERAL json_array_elements(s.catalogue -> 'actions') AS o (action)"
    " WHERE o.action ->> 'name' = a.action LIMIT 1)"
)
"""What the source offers by the name of the action."""
_DECLARED = "json_array_elements(offered.action -> 'arguments')"
_OWN = " WHERE a.process_id = {t}.id"


def _problems(
    rank: int, code: str, message: str, tables: str, condition: str, **values: str
) -> str:
    """Return a SELECT of problems of one kind.

    Args:
        rank: Where it comes among the problems of one action.
        message: SQL for what is wrong.
        values: SQL for the place of a problem among those of its kind, and its other members.
    """
    place, nth, argument, input_ = (
        values.get(name, default)
        for name, default in (
            ("place", "0"),
            ("nth", "0"),
            ("argument", "NULL"),
            ("input", "NULL"),
        )
    )
    return (
        f"SELECT a.position, {rank} AS rank, {place} AS place, {nth} AS nth, '{code}' AS code,"
        f" concat({message}) AS message, {argument} AS argument, {input_} AS input"
        f" {_ACTIONS}{tables}{_OWN} AND {condition}"
    )


_KINDS = (
    _problems(
        1,
        "UNKNOWN_SOURCE_KIND",
        """'the kind of the source "', s.name, '", on which action ', a.position,"""
        " ' acts, is not installed'",
        " JOIN source AS s ON s.id = a.source_id",
        "s.kind <> 'process' AND s.kind <> ALL ({kinds})",
    ),
    _problems(
        2,
        "UNKNOWN_ACTION",
        """'action ', a.position, ' runs "', a.action, '" of the source "', s.name,"""
        """ '", which offers no such action'""",
        _OFFERING,
        f"NOT (s.catalogue ->> 'takesAnyAction')::boolean AND NOT EXISTS {_OFFERED}",
    ),
    _problems(
        3,
        "UNKNOWN_PLACEHOLDER",
        """'the argument "', g.argument ->> 'reference', '" of action ', a.position,"""
        """ ' names the input "', m.name, '", which the process does not have'""",
        _ARGUMENTS + " CROSS JOIN LATERAL (SELECT f.groups[1] AS name, min(f.nth) AS nth"
        f" FROM (SELECT) AS one CROSS JOIN LATERAL regexp_matches(g.argument ->> 'value',"
        f" {_PLACEHOLDER}, 'g') WITH ORDINALITY AS f (groups, nth) GROUP BY f.groups[1]) AS m",
        "strpos(g.argument ->> 'value', '{{') > 0"
        f" AND length(m.name) <= {_LONGEST_NAME} AND m.name !~ {_IS_NO_NAME}"
        " AND NOT EXISTS (SELECT FROM input AS i"
        " WHERE i.process_id = {t}.id AND i.reference = m.name)",
        place="g.place",
        nth="m.nth",
        argument="g.argument ->> 'reference'",
        input="m.name",
    ),
    _problems(
        4,
        "UNKNOWN_ARGUMENT",
        """'action ', a.position, ' gives "', g.argument ->> 'reference', '" to the process "',"""
        """ called.reference, '", which has no such input'""",
        _CALLED + _ARGUMENTS,
        "NOT EXISTS (SELECT FROM input AS i WHERE i.process_id = called.id"
        " AND i.reference = g.argument ->> 'reference')",
        place="g.place",
        argument="g.argument ->> 'reference'",
    ),
    _problems(
        4,
        "UNKNOWN_ARGUMENT",
        """'action ', a.position, ' gives "', g.argument ->> 'reference', '" to "', a.action,"""
        """ '" of the source "', s.name, '", which has no such argument'""",
        f"{_OFFERING} CROSS JOIN LATERAL {_OFFERED} AS offered{_ARGUMENTS}",
        "NOT (s.catalogue ->> 'takesAnyArgument')::boolean"
        f" AND NOT EXISTS (SELECT FROM (SELECT) AS one CROSS JOIN LATERAL {_DECLARED}"
        " AS d (argument) WHERE d.argument ->> 'reference' = g.argument ->> 'reference')",
        place="g.place",
        argument="g.argument ->> 'reference'",
    ),
    _problems(
        5,
        "MISSING_ARGUMENT",
        """'action ', a.position, ' runs "', a.action, '" of the source "', s.name,"""
        """ '" without "', d.argument ->> 'reference', '", which it requires'""",
        f"{_OFFERING} CROSS JOIN LATERAL {_OFFERED} AS offered"
        f" CROSS JOIN LATERAL {_DECLARED} WITH ORDINALITY AS d (argument, place)",
        "(d.argument ->> 'required')::boolean AND NOT EXISTS (SELECT FROM (SELECT) AS one"
        " CROSS JOIN LATERAL json_array_elements(a.arguments) AS given (argument)"
        " WHERE given.argument ->> 'reference' = d.argument ->> 'reference')",
        place="d.place",
        argument="d.argument ->> 'reference'",
    ),
    _problems(
        5,
        "MISSING_ARGUMENT",
        """'action ', a.position, ' runs the process "', called.reference, '" without "',"""
        """ i.reference, '", which it requires', CASE WHEN called.mode = 'simple' THEN ''"""
        " WHEN i.enabled THEN ' while it is enabled' ELSE ' while it is disabled' END",
        _CALLED + " JOIN input AS i ON i.process_id = called.id",
        "i.required AND i.default_value IS NULL AND NOT EXISTS (SELECT FROM (SELECT) AS one"
        " CROSS JOIN LATERAL json_array_elements(a.arguments) AS given (argument)"
        " WHERE given.argument ->> 'reference' = i.reference)",
        place="i.position",
        argument="i.reference",
    ),
)
_MEMBERS = ("code", "message", "position", "argument", "input")
_OBJECT = ", ".join(f"'{name}', listed.{name}" for name in _MEMBERS)
_ORDER = "position, rank, place, nth"
PROCESS_PROBLEMS = (
    f"(SELECT coalesce(json_agg(json_build_object({_OBJECT})"
    f" ORDER BY {', '.join(f'listed.{name.strip()}' for name in _ORDER.split(','))}), '[]')"
    f" FROM (SELECT * FROM ({' UNION ALL '.join(_KINDS)}) AS found"
    f" ORDER BY {_ORDER} LIMIT {MOST_PROBLEMS}) AS listed)"
)
"""SQL for the problems of the process ``{t}``: a JSON array of objects.

``{kinds}`` stands for the source kinds that are installed, ``{reader}`` for the profile of the
viewer, and ``{viewer}`` for that profile if it only sees the processes that it is authorized on,
otherwise null.
"""
