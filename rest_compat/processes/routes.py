"""In charge of the routes of the /processes dialect (contract: processes-dialect.md)."""

from __future__ import annotations

from importlib.resources import files

from rest_compat.dialect import BodyRule, Dialect, PathValue, Route
from rest_compat.processes.bodies import ProcessChangesBody, ProcessesBody
from rest_compat.processes.envelope import ProcessesEnvelope

ROUTES = (
    Route(
        "GET",
        "/processes",
        "Processes",
        ("processes", "nodes"),
        "Get the parameters of all processes",
        "Those that the caller may see, by id.",
    ),
    Route(
        "PUT",
        "/processes",
        "UpdateProcesses",
        ("updateProcesses",),
        "Update the parameters of all the processes given",
        "All of them, or none where anything is wrong.",
        body=BodyRule(ProcessesBody, bulk=True),
        has_data=False,
    ),
    Route(
        "PUT",
        "/processes/{id}",
        "UpdateProcess",
        ("updateProcess",),
        "Update the parameters of one process",
        "At least one of name and comment; the other stays as it is.",
        variables={"id": (PathValue("id", opaque="Process"),)},
        body=BodyRule(ProcessChangesBody, "changes", repeats={"id": "id"}),
        has_data=False,
    ),
)


def processes_dialect() -> Dialect:
    """The dialect."""
    return Dialect(
        name="processes",
        title="The /processes dialect",
        description="Names and comments of processes, one by one or all at once.",
        roots=("processes",),
        document=files(__package__).joinpath("operations.graphql").read_text("utf-8"),
        routes=ROUTES,
        envelope=ProcessesEnvelope(),
    )
