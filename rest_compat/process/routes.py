"""Define the routes of the /process dialect (docs/process-dialect.md)."""

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
from rest_compat.process.examples import EXAMPLES

_PROCESS_ID = {"idProcess": (PathValue("process", opaque="Process"),)}

ROUTES = (
    Route("GET", "/espaces", "Espaces", ("espaces", "nodes"), "List all espaces."),
    Route(
        "GET",
        "/process",
        "Processes",
        ("processes", "nodes"),
        "List all processes.",
        "Returns the processes that the caller can see, with all their parts, ordered by ID.",
    ),
    Route(
        "POST",
        "/process",
        "CreateProcess",
        ("createProcess", "process"),
        "Create a process.",
        "Accepts a process as GET returns it, with a new reference.",
        body=BodyRule(ProcessBody, "process"),
        errors=frozenset({ErrorKind.CONFLICT}),
    ),
    Route(
        "GET",
        "/process/{idProcess}",
        "Process",
        ("process",),
        "Retrieve a process.",
        variables={"idProcess": (PathValue("id"),)},
        tagged=True,
    ),
    Route(
        "DELETE",
        "/process/{idProcess}",
        "DeleteProcess",
        ("deleteProcess",),
        "Delete a process.",
        "Also deletes its actions, inputs and authorizations. Fails while another process runs it.",
        variables={"idProcess": (PathValue("id", opaque="Process"),)},
        has_data=False,
        if_match="ifVersion",
    ),
    Route(
        "POST",
        "/process/{idProcess}/actions",
        "AddAction",
        ("addAction", "action"),
        "Add an action to a process.",
        "The new action becomes the last one.",
        variables=_PROCESS_ID,
        body=BodyRule(ActionBody, "action"),
    ),
    Route(
        "DELETE",
        "/process/{idProcess}/actions/{idAction}",
        "RemoveAction",
        ("removeAction",),
        "Delete an action of a process.",
        variables=_PROCESS_ID | {"idAction": (PathValue("action", opaque="Action"),)},
        has_data=False,
    ),
    Route(
        "POST",
        "/process/{idProcess}/inputs",
        "AddInput",
        ("addInput", "input"),
        "Add an input to a process.",
        "The new input becomes the last one.",
        variables=_PROCESS_ID,
        body=BodyRule(InputBody, "input"),
        errors=frozenset({ErrorKind.CONFLICT}),
    ),
    Route(
        "DELETE",
        "/process/{idProcess}/inputs/{idInput}",
        "RemoveInput",
        ("removeInput",),
        "Delete an input of a process.",
        "Takes the ID or the reference of the input. A body is ignored.",
        variables=_PROCESS_ID
        | {"idInput": (PathValue("id", opaque="Input"), PathValue("reference", is_id=False))},
        has_data=False,
    ),
    Route(
        "POST",
        "/process/{id}/execute",
        "ExecuteProcess",
        ("executeProcess", "execution"),
        "Execute a process.",
        "Runs the actions of the process. Responds when all of them have finished, or with the"
        " status `running` when it has waited as long as an execution may take.",
        variables={"id": (PathValue("id", opaque="Process"),)},
        body=BodyRule(ExecuteBody, required=False),
        idempotency_key="idempotencyKey",
        errors=frozenset({ErrorKind.EXECUTION_FAILED}),
    ),
    Route(
        "POST",
        "/process/{idProcess}/profiles",
        "AuthoriseProfile",
        ("authoriseProfile",),
        "Authorize a profile on a process.",
        "Has no effect if the profile is already authorized.",
        variables=_PROCESS_ID,
        body=BodyRule(ProfileBody),
        has_data=False,
    ),
    Route(
        "DELETE",
        "/process/{idProcess}/profiles",
        "UnauthoriseProfile",
        ("unauthoriseProfile",),
        "Remove the authorization of a profile on a process.",
        "Removes the authorizations of all profiles if no profile is named.",
        variables=_PROCESS_ID,
        body=BodyRule(OptionalProfileBody, required=False, in_query=("idProfile",)),
        has_data=False,
    ),
    Route(
        "DELETE",
        "/process/{idProcess}/profiles/{idProfile}",
        "UnauthoriseOneProfile",
        ("unauthoriseProfile",),
        "Remove the authorization of one profile on a process.",
        "Takes the ID or the name of the profile.",
        variables=_PROCESS_ID
        | {
            "idProfile": (
                PathValue("profile", key="databaseId"),
                PathValue("profile", is_id=False, key="name"),
            )
        },
        has_data=False,
    ),
)

TAGS = {
    "espaces": "Rooms and topics that group processes.",
    "process": "Processes with all their parts.",
    "actions": "The steps of a process.",
    "inputs": "The values that a process takes when it is executed.",
    "execute": "Executions of processes.",
    "profiles": "Profiles that are authorized on a process.",
}


def process_dialect(statuses: DialectStatus) -> Dialect:
    """Return the dialect, with the HTTP statuses that its clients expect."""
    return Dialect(
        name="process",
        title="The /process dialect",
        description="Complete processes, with their actions, inputs and authorized profiles."
        " Every response is an envelope.",
        roots=("process", "espaces"),
        document=files(__package__).joinpath("operations.graphql").read_text("utf-8"),
        routes=ROUTES,
        envelope=ProcessEnvelope(statuses),
        tags=TAGS,
        examples=EXAMPLES,
    )
