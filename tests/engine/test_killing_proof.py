"""Prove that nothing is lost or done twice where workers are killed, stopped or cut off.

Each case executes one process in a worker of its own. At one message to PostgreSQL, or at one
effect, the worker is killed, or stopped until another worker has taken over and then woken, or its
connection is cut. All messages of an execution have their turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from resolvers.execution import attempts, recovery
from resolvers.execution.engine import ExecutionEngine
from storage.database.database import Database
from tests.conftest import database_copy
from tests.cutting_proxy import Cut, CuttingProxy, Hold, cutting_proxy
from tests.engine import history
from tests.engine.effects import Effects, counting
from tests.engine.worker import DELAY, engine_on
from tests.engine.workers import (
    PATIENCE,
    SCENARIOS,
    Scenario,
    Worker,
    Workshop,
    unix_socket,
    workshop,
)
from tests.proof import AGAIN, SEED

Run = Coroutine[Any, Any, str]
LONG = "EXAMPLES" in os.environ
"""Whether the long form runs."""
_AT_ONCE = 6
"""Cases that run at the same time."""


@dataclass(frozen=True)
class Place:
    """Where all cases run: a database, a worker that survives, and workers that do not."""

    shop: Workshop
    effects: Effects
    survivor: ExecutionEngine
    socket: str


@pytest.fixture(scope="module")
async def place(postgres: str, template: str) -> AsyncIterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recovery, "_SWEEP_SECONDS", 0.1)
        patch.setattr(attempts, "_SHORTEST_DELAY", DELAY)
        patch.setattr(attempts, "_LONGEST_DELAY", DELAY)
        async with contextlib.AsyncExitStack() as stack:
            url = await stack.enter_async_context(database_copy(postgres, template))
            database = await Database.connect(url, pool_max=8)
            stack.push_async_callback(database.close)
            await history.install(database)
            effects = await stack.enter_async_context(counting())
            shop = await stack.enter_async_context(workshop(database, effects))
            survivor = engine_on(database)
            stack.push_async_callback(survivor.close)
            yield Place(shop, effects, survivor, unix_socket(url))


# Cases -------------------------------------------------------------------------------------------

_numbers = itertools.count()


@dataclass
class Case:
    """One execution, and what happens to its worker."""

    place: Place
    scenario: Scenario
    name: str
    process_id: int
    worker: Worker
    proxy: CuttingProxy
    happened: bool = False
    """Whether it has happened."""

    async def kill(self) -> None:
        """Kill the worker. Its parent process has noticed."""
        self.happened = True
        self.worker.signal(signal.SIGKILL)
        await self.place.shop.expire(self.worker)

    async def stop_and_wake(self) -> None:
        """Stop the worker until another one has done its work, and wake it."""
        self.happened = True
        self.worker.signal(signal.SIGSTOP)
        await self.place.shop.expire(self.worker)
        await self.place.shop.until_ended(self.process_id)
        self.worker.signal(signal.SIGCONT)

    async def sleep_and_wake(self) -> None:
        """Stop the worker until its lease has ended by itself, and wake it."""
        self.happened = True
        self.worker.signal(signal.SIGSTOP)
        await asyncio.sleep(7)
        await self.place.shop.until_ended(self.process_id)
        self.worker.signal(signal.SIGCONT)

    async def note(self) -> None:
        """Do nothing but note that the moment has come."""
        self.happened = True
        await asyncio.sleep(0.1)

    def arm(self, number: int, moment: Cut | Hold) -> None:
        """Let something happen at the n-th message that is executed."""
        executed = 0

        def decide(_: int, message: bytes) -> Cut | Hold | None:
            nonlocal executed
            # What is only prepared changes nothing.
            executed += b"E\0\0\0\x09\0" in message or message[:1] == b"Q"
            return moment if executed == number else None

        self.proxy.arm(decide)

    async def answer(self) -> dict[str, Any]:
        """Return what the worker told its caller."""
        async with asyncio.timeout(PATIENCE):
            return await self.worker.answers.get()


@contextlib.asynccontextmanager
async def case_of(place: Place, scenario: str, *, alone: bool = False) -> AsyncIterator[Case]:
    """Start a worker for one execution.

    Args:
        place: Where it runs.
        scenario: What it executes.
        alone: Whether it has to look around itself, because no other worker takes over.
    """
    name = f"case{next(_numbers)}"
    process_id = await place.shop.write(SCENARIOS[scenario], name)
    async with cutting_proxy(place.socket) as (proxy, port):
        worker = await place.shop.start(port, sweep_seconds=0.2 if alone else 1e6)
        case = Case(place, SCENARIOS[scenario], name, process_id, worker, proxy)
        try:
            yield case
        finally:
            worker.signal(signal.SIGKILL)
            await place.shop.expire(worker)


async def messages_of(place: Place, scenario: str) -> int:
    """Return how many messages an execution sends that execute something."""
    async with case_of(place, scenario) as case:
        executed = 0

        def decide(_: int, message: bytes) -> None:
            nonlocal executed
            executed += b"E\0\0\0\x09\0" in message or message[:1] == b"Q"

        case.proxy.arm(decide)
        case.worker.execute(case.process_id)
        assert "execution" in await case.answer()
        root = await place.shop.check(case.process_id, case.name, case.scenario)
        assert root is not None
        assert root["status"] == "succeeded"
        return executed


async def at_message(place: Place, scenario: str, number: int, moment: Cut | Hold, do: str) -> str:
    """Let something happen at a message. Return how the execution ended."""
    async with case_of(place, scenario, alone=do == "note") as case:
        case.proxy.meanwhile = getattr(case, do)
        case.arm(number, moment)
        case.worker.execute(case.process_id)
        return await _finish(case, f"{scenario}: {do} at message {number}: {moment.value}", do)


async def at_effect(place: Place, scenario: str, name: str, *, after: bool, do: str) -> str:
    """Let something happen at an effect. Return how the execution ended."""
    async with case_of(place, scenario) as case:

        async def meanwhile() -> bool:
            await getattr(case, do)()
            return do != "kill"

        place.effects.meet(f"{case.name}/{name}", meanwhile, after=after)
        case.worker.execute(case.process_id)
        return await _finish(case, f"{scenario}: {do} at the effect {name}, after: {after}", do)


async def _finish(case: Case, story: str, do: str) -> str:
    shop = case.place.shop
    try:
        answer = None
        if do == "kill":
            async with asyncio.timeout(PATIENCE):
                while not case.happened and case.worker.answers.empty():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        if do != "kill" or not case.happened:
            answer = await case.answer()
        if case.proxy.cuts:
            await case.proxy.passed.wait()
        await shop.until_ended(case.process_id)
        root = await shop.check(case.process_id, case.name, case.scenario)
        if not case.happened:
            return "not reached"  # the number of messages is not always the same
        if root is None:
            assert do == "kill" or (answer is not None and "error" in answer), answer
            return "not admitted"
        if answer is not None:
            # The caller learns how it ended, whoever has run it.
            said = "SUCCEEDED" if "execution" in answer else answer["status"]
            assert said in (None, root["status"].upper()), (answer, dict(root))
        actions = (*case.scenario.actions, *case.scenario.nested)
        if do == "note" or all(each.kind != "once" for each in actions):
            assert root["status"] == "succeeded", dict(root)
        if do == "note":
            # From itself, if it does not know that it was admitted.
            assert root["takeovers"] <= (answer is not None and "error" in answer), dict(root)
        status: str = root["status"]
        return status
    except (AssertionError, TimeoutError) as error:
        raise AssertionError(f"{story}: {error!r}") from error


async def _all(cases: Sequence[Callable[[], Run]], at_once: int = _AT_ONCE) -> set[str]:
    """Run cases, some at a time, and return how they ended. The short form runs a third of them."""
    if not LONG:
        cases = cases[SEED % 3 :: 3]
    limit = asyncio.Semaphore(at_once)

    async def limited(case: Callable[[], Run]) -> str:
        async with limit:
            return await case()

    ended = await asyncio.gather(*map(limited, cases), return_exceptions=True)
    failures = [str(each) for each in ended if isinstance(each, BaseException)]
    assert not failures, "\n".join([AGAIN, *failures])
    assert ended.count("not reached") <= 4, ended
    return {each for each in ended if isinstance(each, str)}


# The proof ---------------------------------------------------------------------------------------


async def at_each_message(
    place: Place, scenario: str, holds: Sequence[Cut | Hold], do: str
) -> None:
    """Do something to the worker at each message of a scenario, in each of these ways."""
    count = await messages_of(place, scenario)
    ended = await _all(
        [
            partial(at_message, place, scenario, number, hold, do)
            for number in range(1, count + 1)
            for hold in holds
        ]
    )
    assert "succeeded" in ended or not LONG
    await history.check(place.shop.database)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_workers_are_killed_at_each_message(place: Place, scenario: str) -> None:
    await at_each_message(place, scenario, (Cut.UNSENT, Cut.UNANSWERED), "kill")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_workers_are_stopped_at_each_message_and_woken(place: Place, scenario: str) -> None:
    """What the worker sent before and sends then has no effect, and it does not act any more."""
    await at_each_message(place, scenario, (Hold.MESSAGE, Hold.ANSWER), "stop_and_wake")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_connections_are_lost_at_each_message(place: Place, scenario: str) -> None:
    """The worker itself goes on. Nothing is done twice, and everything succeeds."""
    lost = (Cut.UNSENT, Cut.UNANSWERED, Hold.MESSAGE_AFTER_CUT)
    await at_each_message(place, scenario, lost, "note")


@pytest.mark.timeout(300)
async def test_workers_are_killed_or_stopped_at_each_effect(place: Place) -> None:
    """Where nobody knows whether it happened, the record says so."""
    ended = await _all(
        [
            partial(at_effect, place, scenario, action.name, after=after, do=do)
            for scenario, each in SCENARIOS.items()
            for action in (*each.actions, *each.nested)
            if action.kind != "process"
            for after in (False, True)
            for do in ("kill", "stop_and_wake")
        ]
    )
    assert "interrupted" in ended or not LONG
    await history.check(place.shop.database)


@pytest.mark.timeout(300)
async def test_workers_sleep_past_the_ends_of_their_leases(place: Place) -> None:
    """As above, but leases end by themselves."""
    scenarios = SCENARIOS if LONG else ("mixed",)
    cases = []
    for scenario in scenarios:
        count = await messages_of(place, scenario)
        cases += [
            partial(at_message, place, scenario, number, hold, "sleep_and_wake")
            for number in range(1, count + 1)
            for hold in (Hold.MESSAGE, Hold.ANSWER)
        ]
    ended = await _all(cases, at_once=30)
    assert "succeeded" in ended or not LONG
    await history.check(place.shop.database)


@pytest.mark.skipif(not LONG, reason="only in the long form")
@pytest.mark.timeout(900)
async def test_workers_are_killed_at_random_under_load(place: Place) -> None:
    """16 callers execute on two workers, which take over from each other and are killed."""
    chance = random.Random(SEED)
    shop = place.shop
    workers = [await shop.start(sweep_seconds=0.5) for _ in range(2)]
    asked: list[tuple[int, str, str]] = []
    done = False

    async def call() -> None:
        while not done:
            scenario = chance.choice(list(SCENARIOS))
            name = f"load{next(_numbers)}"
            process_id = await shop.write(SCENARIOS[scenario], name)
            asked.append((process_id, name, scenario))
            worker = chance.choice(workers)
            worker.execute(process_id)
            # An answer, of whichever caller, or the end of the worker.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await worker.answers.get()

    callers = [asyncio.create_task(call()) for _ in range(16)]
    for _ in range(50):
        await asyncio.sleep(chance.uniform(0.2, 1))
        index = chance.randrange(2)
        victim = workers[index]
        victim.signal(signal.SIGKILL)
        if chance.random() < 0.8:
            await shop.expire(victim)  # otherwise its lease ends by itself
        workers[index] = await shop.start(sweep_seconds=0.5)
    done = True
    await asyncio.gather(*callers)
    assert len(asked) > 100
    ended = set()
    for process_id, name, scenario in asked:
        await shop.until_ended(process_id)
        root = await shop.check(process_id, name, SCENARIOS[scenario])
        ended.add("not admitted" if root is None else root["status"])
    assert ended >= {"succeeded", "interrupted"}
    await history.check(shop.database)
