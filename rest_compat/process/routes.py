"""In charge of the routes of the /process dialect (contract: process-dialect.md)."""

from __future__ import annotations

from importlib.resources import files

from resolvers.errors.catalogue import ErrorKind
from rest_compat.dialect import BodyRule, Dialect, PathValue, Route
from rest_compat.process.bodies import (
    ActionBody,
    ExecuteBody,
    InputBody,
    OptionalProfileBody,
    ProcessBody,
    ProfileBody,
)
from rest_compat.process.envelope import DialectStatus, ProcessEnvelope

_OF_PROCESS = {"idProcess": (PathValue("process", opaque="Process"),)}

ROUTES = (
    Route("GET", "/espaces", "Espaces", ("espaces", "nodes"), "Get all espaces"),
    Route(
        "GET",
        "/process",
        "Processes",
        ("processes", "nodes"),
        "Get all processes",
        "Those that the caller may see, whole, by id.",
    ),
    Route(
        "POST",
        "/process",
        "CreateProcess",
        ("createProcess", "process"),
        "Insert a new process",
        "What GET answers is accepted too, with a new reference.",
        body=BodyRule(ProcessBody, "process"),
        errors=frozenset({ErrorKind.CONFLICT}),
    ),
    Route(
        "GET",
        "/process/{idProcess}",
        "Process",
        ("process",),
        "Get one process",
        variables={"idProcess": (PathValue("id"),)},
    ),
    Route(
        "DELETE",
        "/process/{idProcess}",
        "DeleteProcess",
        ("deleteProcess",),
        "Delete one process",
        "With its actions, inputs and authorisations; not while another process runs it.",
        variables={"idProcess": (PathValue("id", opaque="Process"),)},
        has_data=False,
        errors=frozenset({ErrorKind.CONFLICT}),
    ),
    Route(
        "POST",
        "/process/{idProcess}/actions",
        "AddAction",
        ("addAction", "action"),
        "Insert a new action into a process",
        "It becomes the last one.",
        variables=_OF_PROCESS,
        body=BodyRule(ActionBody, "action"),
    ),
    Route(
        "DELETE",
        "/process/{idProcess}/actions/{idAction}",
        "RemoveAction",
        ("removeAction",),
        "Delete an action of a process",
        variables=_OF_PROCESS | {"idAction": (PathValue("action", opaque="Action"),)},
        has_data=False,
    ),
    Route(
        "POST",
        "/process/{idProcess}/inputs",
        "AddInput",
        ("addInput", "input"),
        "Insert a new input into a process",
        "It becomes the last one.",
        variables=_OF_PROCESS,
        body=BodyRule(InputBody, "input"),
        errors=frozenset({ErrorKind.CONFLICT}),
    ),
    Route(
        "DELETE",
        "/process/{idProcess}/inputs/{idInput}",
        "RemoveInput",
        ("removeInput",),
        "Delete an input of a process",
        "By its id or its reference; a body is ignored.",
        variables=_OF_PROCESS
        | {"idInput": (PathValue("id", opaque="Input"), PathValue("reference", is_id=False))},
        has_data=False,
    ),
    Route(
        "POST",
        "/process/{id}/execute",
        "ExecuteProcess",
        ("executeProcess", "execution"),
        "Execute the actions of a process",
        "Answers when all of them have ended.",
        variables={"id": (PathValue("id", opaque="Process"),)},
        body=BodyRule(ExecuteBody, required=False),
        errors=frozenset({ErrorKind.EXECUTION_FAILED}),
    ),
    Route(
        "POST",
        "/process/{idProcess}/profiles",
        "AuthoriseProfile",
        ("authoriseProfile",),
        "Authorise a profile on a process",
        "Doing so twice is fine.",
        variables=_OF_PROCESS,
        body=BodyRule(ProfileBody),
        has_data=False,
    ),
    Route(
        "DELETE",
        "/process/{idProcess}/profiles",
        "UnauthoriseProfile",
        ("unauthoriseProfile",),
        "Take back the authorisation of a profile on a process",
        "Of all profiles where none is named.",
        variables=_OF_PROCESS,
        body=BodyRule(OptionalProfileBody, required=False, in_query=("idProfile",)),
        has_data=False,
    ),
    Route(
        "DELETE",
        "/process/{idProcess}/profiles/{idProfile}",
        "UnauthoriseOneProfile",
        ("unauthoriseProfile",),
        "Take back the authorisation of one profile on a process",
        "By its id or its name.",
        variables=_OF_PROCESS
        | {
            "idProfile": (
                PathValue("profile", key="databaseId"),
                PathValue("profile", is_id=False, key="name"),
            )
        },
        has_data=False,
    ),
)


def process_dialect(statuses: DialectStatus) -> Dialect:
    """The dialect, with the HTTP statuses that its clients can bear."""
    return Dialect(
        name="process",
        title="The /process dialect",
        description="Processes whole, with their actions, inputs and authorised profiles."
        " Every answer comes in an envelope.",
        roots=("process", "espaces"),
        document=files(__package__).joinpath("operations.graphql").read_text("utf-8"),
        routes=ROUTES,
        envelope=ProcessEnvelope(statuses),
    )
