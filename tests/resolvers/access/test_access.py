"""Test access: permissions of every root field, introspection, and token revocation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    get_introspection_query,
    get_named_type,
    is_leaf_type,
)

from resolvers.schema.build import build_schema
from resolvers.values.ids import global_id
from storage.database.listen import LISTENER
from storage.writes.access import revoke_token
from tests.conftest import Gateway, Graph, Reply, StartGateway
from tests.resolvers.home import until

READ, WRITE, EXECUTE, ADMIN = "PROCESS_READ", "PROCESS_WRITE", "PROCESS_EXECUTE", "ADMIN"

REQUIRED: dict[str, dict[str, str | None]] = {
    "query": {
        "viewer": None,
        "node": None,
        "nodes": None,
        "espace": None,
        "espaces": None,
        "profile": None,
        "profiles": None,
        "process": READ,
        "processes": READ,
        "execution": READ,
        "executions": READ,
        "source": ADMIN,
        "sources": ADMIN,
        "sourceKinds": WRITE,
        "availableSources": WRITE,
    },
    "mutation": {
        "createProcess": WRITE,
        "updateProcess": WRITE,
        "updateProcesses": WRITE,
        "deleteProcess": WRITE,
        "addAction": WRITE,
        "updateAction": WRITE,
        "moveAction": WRITE,
        "removeAction": WRITE,
        "addInput": WRITE,
        "updateInput": WRITE,
        "moveInput": WRITE,
        "removeInput": WRITE,
        "authoriseProfile": WRITE,
        "unauthoriseProfile": WRITE,
        "createEspace": WRITE,
        "updateEspace": WRITE,
        "deleteEspace": WRITE,
        "createProfile": ADMIN,
        "updateProfile": ADMIN,
        "deleteProfile": ADMIN,
        "createSource": ADMIN,
        "updateSource": ADMIN,
        "deleteSource": ADMIN,
        "testSource": ADMIN,
        "executeProcess": EXECUTE,
        "cancelExecution": EXECUTE,
        "replayExecution": EXECUTE,
    },
}
"""The permission that each root field requires. New root fields must be added here."""
REQUIRED["subscription"] = REQUIRED["query"]

PROFILES: dict[str, set[str]] = {
    "admin": {READ, WRITE, EXECUTE, ADMIN},
    "occupant": {READ, EXECUTE},
    "guest": {READ},
    "cleaner": {READ, EXECUTE},
    "stranger": set(),
}
"""Permissions by profile. The tests create the last two, which see only the processes that they are
authorized on."""


@cache
def roots() -> dict[str, GraphQLObjectType]:
    schema = build_schema()._schema
    assert schema.query_type
    assert schema.mutation_type
    assert schema.subscription_type
    return {
        "query": schema.query_type,
        "mutation": schema.mutation_type,
        "subscription": schema.subscription_type,
    }


def sample(type_: Any) -> Any:
    """Return a minimal value of an input type."""
    match type_:
        case GraphQLNonNull():
            return sample(type_.of_type)
        case GraphQLList():
            return []
        case GraphQLEnumType():
            return next(iter(type_.values))
        case GraphQLInputObjectType():
            required = [name for name, field in type_.fields.items() if _required(field.type)]
            names = required or (["name"] if type_.is_one_of else [])
            return {name: sample(type_.fields[name].type) for name in names}
    return {"ID": global_id("Process", 2**31 - 1), "Int": 1, "String": "x"}[type_.name]


def _required(type_: Any) -> bool:
    return isinstance(type_, GraphQLNonNull)


def call(kind: str, name: str, *, invalid: bool = False) -> tuple[str, dict[str, Any]]:
    """Return an operation that selects a root field, and its variables.

    Args:
        invalid: Pass all arguments, each with a value that no argument accepts. By default, pass
            valid values for the required arguments only.
    """
    field = roots()[kind].fields[name]
    types = {key: arg.type for key, arg in field.args.items() if invalid or _required(arg.type)}
    declarations = ", ".join(f"${key}: {type_}" for key, type_ in types.items())
    arguments = ", ".join(f"{key}: ${key}" for key in types)
    selection = "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
    text = (
        f"{kind}({declarations}) {{ {name}({arguments}){selection} }}"
        if types
        else f"{kind} {{ {name}{selection} }}"
    )
    variables = {
        key: [[[{"invalid": 1.5}]]] if invalid else sample(type_) for key, type_ in types.items()
    }
    return text, variables


async def add_profiles(graph: Graph) -> None:
    for name in ("cleaner", "stranger"):
        await graph.data(
            "mutation($p: NewProfile!) { createProfile(profile: $p) { profile { id } } }",
            {"p": {"name": name, "permissions": sorted(PROFILES[name])}},
        )


def codes(response: dict[str, Any]) -> set[str]:
    return {error["extensions"]["code"] for error in response.get("errors", [])}


# The matrix --------------------------------------------------------------------------------------


def test_every_root_field_is_listed() -> None:
    assert {kind: set(type_.fields) for kind, type_ in roots().items()} == {
        kind: set(fields) for kind, fields in REQUIRED.items()
    }


async def test_every_root_field_checks_its_permission(graph: Graph) -> None:
    await add_profiles(graph)
    for profile, permissions in PROFILES.items():
        for kind, fields in REQUIRED.items():
            for name, required in fields.items():
                errors = codes(await graph.ask(*call(kind, name), profile=profile))
                forbidden = required is not None and required not in permissions
                assert errors == {"FORBIDDEN"} if forbidden else "FORBIDDEN" not in errors, (
                    profile,
                    name,
                    errors,
                )
                assert errors <= {"FORBIDDEN", "BAD_USER_INPUT", "NOT_FOUND", "CONFLICT"}


async def test_no_root_field_answers_without_a_token(gateway: Gateway) -> None:
    before = gateway.database.statements
    for kind, fields in REQUIRED.items():
        for name in fields:
            query, variables = call(kind, name)
            body = {"query": query, "variables": variables}
            reply = await gateway.call("POST", "/graphql", body, profile=None)
            assert (reply.status, codes(reply.json)) == (401, {"UNAUTHENTICATED"}), name
            assert "data" not in reply.json
    assert gateway.database.statements == before


async def test_permission_is_checked_before_shape(graph: Graph) -> None:
    await add_profiles(graph)
    for kind, fields in REQUIRED.items():
        for name, required in fields.items():
            query, variables = call(kind, name, invalid=True)
            if required is not None:
                errors = codes(await graph.ask(query, variables, profile="stranger"))
                assert errors == {"FORBIDDEN"}, name
            if variables:
                errors = codes(await graph.ask(query, variables, profile="admin"))
                assert errors == {"BAD_USER_INPUT"}, name


async def test_the_token_is_checked_before_shape(gateway: Gateway) -> None:
    for body in (b"{", b"", b"null", b'{"query": 1}', b'{"query": "{"}', b'{"query": "{ a }"}'):
        for headers in ({}, {"Authorization": "Bearer x"}):
            reply = await gateway.call("POST", "/graphql", body, profile=None, headers=headers)
            assert (reply.status, codes(reply.json)) == (401, {"UNAUTHENTICATED"}), body
        reply = await gateway.call("POST", "/graphql", body)
        # What is well-formed gets 200: the error is about the operation.
        status = 200 if body.startswith(b'{"query": "') else 400
        assert (reply.status, codes(reply.json)) == (status, {"BAD_USER_INPUT"}), body
    body = b'{"query": "query a { __typename } query b { __typename }", "operationName": "c"}'
    reply = await gateway.call("POST", "/graphql", body, profile=None)
    assert (reply.status, codes(reply.json)) == (401, {"UNAUTHENTICATED"})


async def test_a_forbidden_field_does_not_affect_other_fields(graph: Graph) -> None:
    answer = await graph.ask("{ sources { totalCount } processes { totalCount } }", profile="guest")
    assert answer["data"] == {"sources": None, "processes": {"totalCount": 0}}
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["sources"], "FORBIDDEN")
    assert error["message"] == (
        "sources needs the permission admin, which the profile guest does not have"
    )


# Introspection -----------------------------------------------------------------------------------

INTROSPECTIONS = [
    get_introspection_query(input_value_deprecation=True, specified_by_url=True),
    '{ __type(name: "Process") { name } }',
    "{ __schema { queryType { name } } __typename }",
]


@pytest.mark.parametrize(
    ("setting", "without_token", "with_token"),
    [
        ("public", (200, set()), (200, set())),
        ("token", (401, {"UNAUTHENTICATED"}), (200, set())),
        ("off", (401, {"UNAUTHENTICATED"}), (200, {"FORBIDDEN"})),
    ],
)
async def test_introspection_follows_its_setting(
    start_gateway: StartGateway, setting: str, without_token: Any, with_token: Any
) -> None:
    async with start_gateway(introspection=setting) as gateway:
        for query in INTROSPECTIONS:
            for profile, expected in ((None, without_token), ("guest", with_token)):
                reply = await gateway.call("POST", "/graphql", {"query": query}, profile=profile)
                assert (reply.status, codes(reply.json)) == expected
        # Any other field in the same operation still requires a token.
        both = {"query": "{ __schema { queryType { name } } viewer { seesAll } }"}
        reply = await gateway.call("POST", "/graphql", both, profile=None)
        assert (reply.status, codes(reply.json)) == (401, {"UNAUTHENTICATED"})
        hidden = {"query": "{ ...f } fragment f on Query { ... { viewer { seesAll } } __typename }"}
        reply = await gateway.call("POST", "/graphql", hidden, profile=None)
        assert (reply.status, codes(reply.json)) == (401, {"UNAUTHENTICATED"})
        if setting != "off":
            reply = await gateway.call("POST", "/graphql", both)
            assert set(reply.json["data"]) == {"__schema", "viewer"}


# Tokens ------------------------------------------------------------------------------------------


async def ask(gateway: Gateway, token: str, query: str = "{ viewer { seesAll } }") -> Reply:
    headers = {"Authorization": f"Bearer {token}"}
    return await gateway.call("POST", "/graphql", {"query": query}, profile=None, headers=headers)


def rejected(gateway: Gateway, token: str) -> Callable[[], Awaitable[bool]]:
    """Return a condition for ``until``: whether the gateway rejects the token."""

    async def condition() -> bool:
        reply = await ask(gateway, token)
        assert reply.status in (200, 401)
        return reply.status == 401 and codes(reply.json) == {"UNAUTHENTICATED"}

    return condition


async def revoke(gateway: Gateway, token: str) -> None:
    claims = gateway.services.keys.verify(token)
    async with gateway.database.transaction() as transaction:
        await revoke_token(
            transaction, claims.token_id, datetime.fromtimestamp(claims.expires_at, UTC)
        )


async def test_a_revoked_token_is_rejected_within_a_second(gateway: Gateway) -> None:
    one, other = await gateway.token("guest"), await gateway.token("guest")
    assert (await ask(gateway, one)).status == 200
    await revoke(gateway, one)
    await until(rejected(gateway, one), 1)
    assert (await ask(gateway, other)).status == 200
    assert "the token was revoked" in (await ask(gateway, one)).json["errors"][0]["message"]
    await revoke(gateway, one)


async def test_a_revocation_is_deleted_after_the_token_expires(gateway: Gateway) -> None:
    async with gateway.database.transaction() as transaction:
        await revoke_token(transaction, "old", datetime.now(UTC) - timedelta(seconds=1))
        await revoke_token(transaction, "new", datetime.now(UTC) + timedelta(hours=1))
    assert await gateway.run("SELECT token_id FROM revoked_token") == [{"token_id": "new"}]


async def test_the_tokens_of_a_deleted_profile_are_rejected(gateway: Gateway) -> None:
    await add_profiles(gateway)
    token = await gateway.token("cleaner")
    assert (await ask(gateway, token)).status == 200
    (row,) = await gateway.run("SELECT id FROM profile WHERE name = 'cleaner'")
    await gateway.data(
        "mutation($id: ID!) { deleteProfile(id: $id) { deletedId } }",
        {"id": global_id("Profile", row["id"])},
    )
    await until(rejected(gateway, token), 1)


async def test_changed_permissions_apply_to_the_next_request(gateway: Gateway) -> None:
    await add_profiles(gateway)
    token = await gateway.token("cleaner")
    (row,) = await gateway.run("SELECT id FROM profile WHERE name = 'cleaner'")

    async def change(*permissions: str) -> None:
        await gateway.data(
            "mutation($id: ID!, $p: [Permission!]) {"
            " updateProfile(id: $id, changes: {permissions: $p}) { profile { id } } }",
            {"id": global_id("Profile", row["id"]), "p": permissions},
        )

    async def answers(query: str, expected: set[str]) -> None:
        async def condition() -> bool:
            return codes((await ask(gateway, token, query)).json) == expected

        await until(condition, 1)

    processes, sources = "{ processes { totalCount } }", "{ sources { totalCount } }"
    await answers(processes, set())
    await change()
    await answers(processes, {"FORBIDDEN"})
    await change(ADMIN)
    await answers(processes, set())
    await answers(sources, set())
    await change(READ)
    await answers(sources, {"FORBIDDEN"})


async def test_invalid_tokens_cause_no_statements(gateway: Gateway) -> None:
    good = await gateway.token("guest")
    header, payload, signature = good.split(".")
    expired = await gateway.token("guest", timedelta(seconds=-5))
    invalid = {
        "": "UNAUTHENTICATED",
        "x": "UNAUTHENTICATED",
        "a.b.c": "UNAUTHENTICATED",
        f"{header}.{payload}.": "UNAUTHENTICATED",
        f"{header}.{payload[:-2]}.{signature}": "UNAUTHENTICATED",
        "x" * 5000: "UNAUTHENTICATED",
        expired: "TOKEN_EXPIRED",
    }
    before = gateway.database.statements
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):  # every connection of the pool
            await stack.enter_async_context(gateway.database.transaction())
        for token, code in invalid.items():
            async with asyncio.timeout(1):
                reply = await ask(gateway, token)
            assert (reply.status, codes(reply.json)) == (401, {code})
        # A valid token causes none either: its profile is in memory.
        assert (await ask(gateway, good, "{ __typename }")).status == 200
    assert gateway.database.statements == before


async def test_revocations_take_effect_after_the_listening_connection_is_lost(
    gateway: Gateway,
) -> None:
    for _ in range(2):
        token = await gateway.token("guest")
        assert (await ask(gateway, token)).status == 200
        terminated = await gateway.run(
            "SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity"
            f" WHERE datname = current_database() AND application_name = '{LISTENER}'"
        )
        assert terminated == [{"done": True}]
        await revoke(gateway, token)
        await until(rejected(gateway, token), 1)
        # Listening resumes: the next revocation is noticed as well.
        another = await gateway.token("guest")
        assert (await ask(gateway, another)).status == 200
        before = gateway.database.statements
        assert (await ask(gateway, another, "{ __typename }")).status == 200
        assert gateway.database.statements == before
        await revoke(gateway, another)
        await until(rejected(gateway, another), 1)
