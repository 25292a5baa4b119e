"""Checks that schemathesis makes of each response, in place of two of its own.

``positive_data_acceptance`` of schemathesis expects that every request that fits the schema
succeeds. No schema can say which objects exist, so the dialects may refuse what does not exist or
is given twice. ``not_a_server_error`` of schemathesis knows only some codes of GraphQL errors.
"""

from __future__ import annotations

import re
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

from resolvers.errors.catalogue import ErrorKind

_ABOUT_DATA = re.compile(
    r"there is no |there is nothing|is given twice|exists already|more than one|still "
    r"|a process must not run itself|the process has no such input|^inputs\.|^and [0-9,]+ more$"
    r"|as in the path|another version"
    # Texts of the dictionary (schemathesis.toml) are sent in headers whatever their pattern is.
    r"|expected \* or entity tags"
)
"""Matches problems that depend on the stored data, or on two values together."""

_SERVER_FAULTS = {ErrorKind.INTERNAL.name, ErrorKind.DATABASE_UNAVAILABLE.name}
_CODES = {kind.name for kind in ErrorKind} - _SERVER_FAULTS


@schemathesis.check
def well_formed_data_is_accepted(
    ctx: CheckContext, response: Response, case: Case[Any]
) -> bool | None:
    """A request that fits the schema is bad input only because of the data."""
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if response.status_code != 400 or not positive or _is_graphql(case):
        return None
    answer = response.json()
    if "details" in answer:
        problems = [detail["message"] for detail in answer["details"]]
    else:
        problems = answer["message"].split("; ")
    for problem in problems:
        message = problem.partition(": ")[2] or problem
        assert _ABOUT_DATA.search(problem) or _ABOUT_DATA.search(message), problem
    return None


@schemathesis.check
def graphql_errors_have_codes(
    ctx: CheckContext, response: Response, case: Case[Any]
) -> bool | None:
    """A GraphQL error has a code of the catalogue, and none of a fault of the server."""
    assert response.status_code < 500, response.status_code
    if not _is_graphql(case):
        return None
    answer = response.json()
    for error in answer.get("errors", ()):
        assert error["extensions"]["code"] in _CODES, error
        assert error["message"] not in ("", "None")
    return None


def _is_graphql(case: Case[Any]) -> bool:
    return str(case.operation.path).endswith("/graphql")
