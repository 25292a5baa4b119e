"""Define the routes of the /processes dialect (docs/processes-dialect.md)."""

from __future__ import annotations

from importlib.resources import files

from rest_compat.dialect import BodyRule, Dialect, PathValue, Route
from rest_compat.processes.bodies import ProcessChangesBody, ProcessesBody, processes_check
from rest_compat.processes.envelope import ProcessesEnvelope
from rest_compat.processes.examples import EXAMPLES

ROUTES = (
    Route(
        "GET",
        "/processes",
        "Processes",
        ("processes", "nodes"),
        "List the names and comments of all processes.",
        "Returns the processes that the caller can see, ordered by ID.",
    ),
    Route(
        "PUT",
        "/processes",
        "UpdateProcesses",
        ("updateProcesses",),
        "Update the names and comments of many processes.",
        "Updates all listed processes, or none if anything in the list is invalid.",
        body=BodyRule(ProcessesBody, bulk=True, check=processes_check),
        has_data=False,
    ),
    Route(
        "PUT",
        "/processes/{id}",
        "UpdateProcess",
        ("updateProcess",),
        "Update the name and comment of a process.",
        "Requires a name or a comment. An omitted one keeps its value.",
        variables={"id": (PathValue("id", opaque="Process"),)},
        if_match="ifVersion",
        body=BodyRule(ProcessChangesBody, "changes", repeats={"id": "id"}),
        has_data=False,
    ),
)


def processes_dialect() -> Dialect:
    """Return the dialect."""
    return Dialect(
        name="processes",
        title="The /processes dialect",
        description="The names and comments of processes, one at a time or in bulk.",
        roots=("processes",),
        document=files(__package__).joinpath("operations.graphql").read_text("utf-8"),
        routes=ROUTES,
        envelope=ProcessesEnvelope(),
        tags={"processes": "Names and comments of processes."},
        examples=EXAMPLES,
    )
