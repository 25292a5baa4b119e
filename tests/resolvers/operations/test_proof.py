"""Prove by random examples that the pipeline answers like the reference implementation.

Each example is a random operation on a random database by a random viewer (``tests.reference``).
"""

from __future__ import annotations

import json
import random
import traceback
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    FieldDefinitionNode,
    Visitor,
    build_ast_schema,
    build_schema,
    parse,
    print_ast,
    validate,
    visit,
)
from graphql.validation import ValuesOfCorrectTypeRule
from hypothesis import Phase, given, note
from hypothesis import strategies as st
from hypothesis_graphql import Mode, nodes, queries
from hypothesis_graphql.types import CustomScalarStrategies

from gateway.services import compiler_of
from resolvers.operations.run import GraphQLRequest
from rest_compat.errors import http_status
from tests.conftest import body_of, settings_for_tests
from tests.proof import AGAIN, World, Worlds, proof, read_json, written
from tests.reference.answers import Expected, Reference
from tests.reference.messages import MOST_LISTED, Error, of_graphql, of_listed
from tests.reference.model import TABLES, global_id
from tests.reference.times import with_times
from tests.reference.worlds import NAMES, PROFILES
from tests.resolvers.operations.arguments import Twists
from tests.resolvers.operations.operations import Operation, write
from tests.resolvers.operations.shrinking import smallest

# Viewers that see more are chosen more often, because there is more to compare.
VIEWERS = (*PROFILES, "admin", "occupant", "keeper", "keeper")
HTTP = 0.2
"""The share of operations that are sent over HTTP, which is slower."""

SDL = compiler_of(settings_for_tests()).sdl()
SCHEMA = with_times(build_schema(SDL))

SHRUNKEN: dict[int, Operation] = {}
"""Shrunken failures by their seed."""


@dataclass(frozen=True, repr=False)
class Drawn:
    """A document that hypothesis-graphql drew."""

    document: DocumentNode

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Print nothing: a failure prints the generated operation instead."""
        printer.text("Drawn")


# Strategies -------------------------------------------------------------------------------------

# Few values, so that they often match rows. The databases share them.
_TEXTS = st.sampled_from([*NAMES[:-1], *(f"{name}{n}" for name in NAMES[:10] for n in range(4))])
_IDS = st.sampled_from([global_id(name, n) for name in TABLES for n in range(1, 13)])
_INVALID_IDS = st.sampled_from(["", "x", global_id("Viewer", 1), global_id("Process", 2**31)])
_SCALARS: CustomScalarStrategies = {
    "String": _TEXTS.map(nodes.String),
    "ID": st.one_of(*[_IDS] * 20, _INVALID_IDS).map(nodes.String),
    "Int": st.integers(-1, 12).map(nodes.Int),
    "DateTime": st.sampled_from(["2024-02-29T00:00:00Z"]).map(nodes.String),
}


class _WithoutPages(Visitor):
    """Removes the arguments of connections from a schema."""

    def enter_field_definition(self, node: FieldDefinitionNode, *_: Any) -> Any:
        paged = any(argument.name.value == "first" for argument in node.arguments or ())
        return replace(node, arguments=()) if paged else None


# By default, hypothesis-graphql mostly selects ``node`` and ``nodes``. Drawing the arguments of
# connections takes longer than everything else, and ``write`` generates better ones.
_WITHOUT_PAGES = build_ast_schema(visit(parse(SDL), _WithoutPages()))
DRAWN = st.one_of(
    *[queries(SCHEMA, custom_scalars=_SCALARS, print_ast=Drawn)] * 2,
    *(
        queries(_WITHOUT_PAGES, fields=[name], custom_scalars=_SCALARS, print_ast=Drawn)
        for name in ("processes", "process", "espaces", "executions", "execution")
    ),
)
INVALID = queries(SCHEMA, custom_scalars=_SCALARS, mode=Mode.NEGATIVE)
_GROWTH = st.sampled_from((0, 3, 6, 10, 15, 20, 30, 45))
TWISTS = st.builds(
    Twists,
    **{each.name: _GROWTH if each.name == "growth" else st.booleans() for each in fields(Twists)},
)


# Proofs -----------------------------------------------------------------------------------------


# Hypothesis could shrink only the seed of most choices, so ``smallest`` shrinks failures instead.
@proof(Phase.generate)
@given(drawn=DRAWN, twists=TWISTS, start=st.integers(0, 2**64 - 1))
async def test_graphql_answers_match_the_reference(
    worlds: Worlds, drawn: Drawn, twists: Twists, start: int
) -> None:
    # Most examples of Hypothesis are small variations of earlier ones. Using the entire example as
    # the seed turns each into a different operation, database, and viewer.
    chance = random.Random(f"{start} {twists} {print_ast(drawn.document)}")
    world, profile = chance.choice(worlds), chance.choice(VIEWERS)
    operation = write(SCHEMA, drawn.document, world.rows, twists, chance)
    ask = over_http if chance.random() < HTTP else in_process

    async def difference(candidate: Operation) -> str | None:
        """Return how the answer differs from the reference, or None if it does not."""
        text, name, variables = candidate.text, candidate.name, candidate.variables
        try:
            got = await ask(world, profile, GraphQLRequest(text, name, variables))
            return compared(got, reference(world, profile).answer(parse(text), variables, name))
        except Exception:
            return traceback.format_exc()

    if await difference(operation) is None:
        return
    # Hypothesis runs a failing example twice.
    if start not in SHRUNKEN:
        SHRUNKEN[start] = await smallest(SCHEMA, operation, difference)
    operation = SHRUNKEN[start]
    note(f"{AGAIN}\ndatabase {world.number}, viewer {profile}, operation {operation.name}")
    note(f"{operation.text}\n{json.dumps(operation.variables)}")
    pytest.fail(await difference(operation) or "the difference did not occur again")


@proof(Phase.generate, Phase.shrink, one_in=40)
@given(text=INVALID)
async def test_invalid_documents_are_rejected_with_all_errors(worlds: Worlds, text: str) -> None:
    note(f"{AGAIN}\n{text}")
    document = parse(text)
    errors = validate(SCHEMA, document)
    expected = Expected(400, {}, [[of_graphql(error)] for error in errors])
    status, body = await in_process(worlds[0], "admin", GraphQLRequest(text))
    answer = read_json(body)
    located = [error for error in answer["errors"] if "problems" in error["extensions"]]
    for error in located:
        (problem,) = error["extensions"].pop("problems")
        assert problem["path"]
        assert problem["message"]
    assert compared((status, json.dumps(answer).encode()), expected) is None
    # Only the problems of invalid literals name the value.
    misfits = [of_graphql(error) for error in validate(SCHEMA, document, [ValuesOfCorrectTypeRule])]
    assert located == misfits


Got = tuple[int, bytes]
"""The HTTP status and the body."""


async def in_process(world: World, profile: str, request: GraphQLRequest) -> Got:
    operations = world.gateway.services.operations
    answer = await operations.answer(request, world.viewers[profile])
    status = 200 if answer.rejected is None else http_status(answer.rejected)
    return status, body_of(answer)


async def over_http(world: World, profile: str, request: GraphQLRequest) -> Got:
    members = {
        "query": request.query,
        "operationName": request.operation_name,
        "variables": request.variables,
    }
    # With this media type, the status is that of the error.
    accept = "application/graphql-response+json"
    headers = {"Authorization": world.tokens[profile], "Accept": accept}
    reply = await world.gateway.call("POST", "/graphql", members, profile=None, headers=headers)
    return reply.status, reply.body


@cache
def reference(world: World, profile: str) -> Reference:
    """Return the reference for a viewer. It is cached because it caches what it computes."""
    return Reference(SCHEMA, world.rows, world.viewers[profile].profile_id)


def in_any_order(error: Error) -> Error:
    """An error whose problems are sorted: the selection does not decide which one is found first.

    Its message has to consist of just its problems.
    """
    problems = error["extensions"].get("problems")
    if not problems:
        return error
    as_written = [(tuple(problem["path"]), problem["message"]) for problem in problems]
    in_order = sorted(as_written, key=str)
    if len(in_order) > MOST_LISTED:
        in_order = as_written[MOST_LISTED:]  # how many more there are
    message = of_listed(as_written)["message"]
    if error["message"] == message:
        message = of_listed(in_order)["message"]
    extensions = error["extensions"] | {
        "problems": [{"path": p, "message": m} for p, m in in_order]
    }
    return error | {"message": message, "extensions": extensions}


def compared(got: Got, expected: Expected) -> str | None:
    """Compare an answer with the expected one in canonical JSON. Return the difference, or None."""
    status, body = got[0], read_json(got[1])
    errors = [written(in_any_order(error), in_order=False) for error in body.pop("errors", [])]
    # The keys of ``data`` are in the order of the selection. The keys of errors have no order.
    actual = f"{status}\n{written(body)}"
    reference_answer = f"{expected.status}\n{written(expected.body)}"
    if actual != reference_answer:
        return f"expected\n{reference_answer}\nbut got\n{actual}\n{errors}"
    forms = [
        [written(in_any_order(form), in_order=False) for form in error] for error in expected.errors
    ]
    if len(errors) != len(forms) or any(
        error not in known for error, known in zip(errors, forms, strict=True)
    ):
        return f"expected the errors (each in one of its forms)\n{forms}\nbut got\n{errors}"
    return None
