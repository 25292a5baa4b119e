"""Documents that try to cost processor time: each is rejected soon, and nobody else waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway.services import compiler_of
from resolvers.operations.compile import OperationCompiler
from tests.conftest import settings_for_tests
from tests.hostile.attacked import Attacked, check_others_are_served
from tests.hostile.documents import INTROSPECTION, REJECTED, REPEATING, processor_time


@pytest.fixture(scope="module")
def compiler() -> OperationCompiler:
    return compiler_of(settings_for_tests())


@pytest.mark.parametrize("text", REJECTED.values(), ids=REJECTED)
def test_a_document_is_rejected_in_little_time(compiler: OperationCompiler, text: str) -> None:
    """The bound is 50 ms where the introspection query of every tool takes 6 ms."""
    errors = compiler.read(text).errors
    assert 1 <= len(errors) <= 5
    assert all(len(error.message) < 1100 for error in errors)
    assert processor_time(compiler, text) < 8 * processor_time(compiler, INTROSPECTION)


@pytest.mark.parametrize("text", REPEATING.values(), ids=REPEATING)
def test_a_document_that_repeats_itself_is_read_in_little_time(
    compiler: OperationCompiler, text: str
) -> None:
    assert not compiler.read(text).errors
    assert processor_time(compiler, text) < 8 * processor_time(compiler, INTROSPECTION)


# Other clients -----------------------------------------------------------------------------------


async def test_nothing_of_them_stays_in_memory(target: Attacked) -> None:
    """600 documents of 12 KB without a token once kept 670 MB.

    This comes before the floods: they use up what those without a token may use.
    """
    fields = " ".join(f"a{number}: __typename" for number in range(600))
    before = target.peak_memory()
    async with aiohttp.ClientSession() as session:
        for number in range(600):
            body = {"query": f"{{ {fields} }} # {number}"}
            async with session.post(f"{target.url}/graphql", json=body) as response:
                assert response.status == 401
    assert target.peak_memory() - before < 20_000_000


@contextlib.asynccontextmanager
async def flood(
    target: Attacked, queries: list[str], *, clients: int, token: bool
) -> AsyncIterator[list[Any]]:
    """Send queries again and again from several clients, and collect what they get."""
    headers = {"Authorization": target.admin} if token else {}
    answers: list[Any] = []

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        # 0.25 s on average. With the same pause all would go on sending at the same moments, and
        # 60 requests that arrive together take as long as 60 honest ones, whatever they are.
        pause = 0.125 + 0.25 * number / clients
        while True:
            query = queries[number % len(queries)] + f" # {number}"
            number += clients
            async with session.post(f"{target.url}/graphql", json={"query": query}) as response:
                answers.append((response.status, await response.json(content_type=None)))
            await asyncio.sleep(pause)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        tasks = [asyncio.create_task(client(session, number)) for number in range(clients)]
        await asyncio.sleep(0.3)
        try:
            yield answers
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("name", ["3,900 unknown fields", "1,400 unknown fields"])
async def test_documents_without_a_token_keep_nobody_waiting(target: Attacked, name: str) -> None:
    async with flood(target, [REJECTED[name]], clients=10, token=False) as answers:
        pass
    assert {(status, json.dumps(body["errors"][0]["extensions"])) for status, body in answers} == {
        (401, '{"code": "UNAUTHENTICATED"}')
    }
    await check_others_are_served(
        target, lambda: flood(target, [REJECTED[name]], clients=60, token=False)
    )


async def test_introspection_without_a_token_keeps_nobody_waiting(target: Attacked) -> None:
    variants = [INTROSPECTION, *(f'{{ __type(name: "T{n}") {{ name }} }}' for n in range(5))]
    await check_others_are_served(target, lambda: flood(target, variants, clients=50, token=False))


async def test_documents_with_a_token_keep_nobody_waiting(target: Attacked) -> None:
    queries = list(REJECTED.values())
    await check_others_are_served(target, lambda: flood(target, queries, clients=4, token=True))
