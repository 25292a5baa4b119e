"""Subscribe to random operations, and compare what arrives with the reference."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    parse,
    print_ast,
)

from tests.conftest import Gateway, Reply
from tests.gateway.http.live.sockets import SocketClient, connected
from tests.gateway.http.live.streams import Stream, streaming
from tests.kept.readers import Moment, Query
from tests.resolvers.operations.operations import Operation
from tests.resolvers.operations.shrinking import tidied
from tests.resolvers.operations.test_proof import SCHEMA

_PATIENCE = 20.0
"""Seconds after which the last state must have arrived, even where the machine is busy."""


@dataclass(eq=False)
class Subscriber:
    """A subscription, and what has arrived of it since it was compared with the reference."""

    gateway: Gateway
    query: Query
    """The query with the same selection."""
    by_events: bool
    """Whether it is a stream of events, or else one of those on a WebSocket."""
    arrived: list[Reply] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The document of the subscription."""
        definitions = (
            replace(each, operation=OperationType.SUBSCRIPTION)
            if isinstance(each, OperationDefinitionNode)
            else each
            for each in self.query.operation.document.definitions
        )
        return print_ast(DocumentNode(definitions=tuple(definitions)))


@dataclass(eq=False)
class Subscribers:
    """Subscriptions: streams of events, and WebSockets, one for each gateway and profile."""

    all: Sequence[Subscriber]
    _change: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def compare(self, moments: Sequence[Moment], *, between: bool = True) -> None:
        """Wait until each has the answer of the last of these moments.

        Args:
            between: Whether what arrived before has to be the answer of one of the moments.
        """
        for each in self.all:
            await self._last(each, moments[-1])
            for reply in each.arrived[:-1] if between else ():
                differences = [each.query.difference(reply, moment) for moment in moments]
                assert None in differences, f"{_named(each)}\n{differences[-1]}"
            del each.arrived[:-1]

    async def _last(self, subscriber: Subscriber, moment: Moment) -> None:
        """Wait until a subscription has the answer of a moment."""
        difference: str | None = "nothing has arrived"
        try:
            async with asyncio.timeout(_PATIENCE):
                while True:
                    self._change.clear()
                    if subscriber.arrived:
                        difference = subscriber.query.difference(subscriber.arrived[-1], moment)
                    if difference is None:
                        return
                    await self._change.wait()
                    for task in self._tasks:
                        if task.done():
                            task.result()
        except TimeoutError:
            raise AssertionError(f"{_named(subscriber)}\n{difference}") from None

    async def start(self, stack: contextlib.AsyncExitStack, tokens: Mapping[str, str]) -> None:
        """Subscribe."""
        sockets: dict[tuple[str, str], SocketClient] = {}
        for number, each in enumerate(self.all):
            token, variables = tokens[each.query.profile], each.query.operation.variables
            if each.by_events:
                stream = await stack.enter_async_context(
                    streaming(each.gateway, each.text, token=token, variables=variables)
                )
                self._receiving(self._receive_events(each, stream))
                continue
            key = each.gateway.url, each.query.profile
            if key not in sockets:
                client = sockets[key] = await stack.enter_async_context(connected(each.gateway))
                await client.init(token)
                self._receiving(self._receive(client))
            await sockets[key].subscribe(each.text, str(number), variables=variables)

    def _receiving(self, receive: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(receive)
        task.add_done_callback(lambda _: self._change.set())
        self._tasks.append(task)

    async def stop(self) -> None:
        """Receive nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _receive(self, client: SocketClient) -> None:
        while True:
            try:
                message = await client.receive()
            except TimeoutError:  # nothing has changed for a while
                continue
            assert message["type"] == "next", message
            self._arrived(self.all[int(message["id"])], message["payload"])

    async def _receive_events(self, subscriber: Subscriber, stream: Stream) -> None:
        while True:
            kind, answer = await stream.event(None)  # nothing may change for a while
            assert kind == "next", answer
            self._arrived(subscriber, answer)

    def _arrived(self, subscriber: Subscriber, answer: object) -> None:
        subscriber.arrived.append(Reply(200, {}, json.dumps(answer).encode()))
        self._change.set()


@contextlib.asynccontextmanager
async def subscribed(
    queries: Sequence[Query],
    gateways: Sequence[Gateway],
    tokens: Mapping[str, str],
    moment: Moment,
    chance: random.Random,
) -> AsyncIterator[Subscribers]:
    """Subscribe to one root field of each of these queries, where they have one that can be."""
    single = [one for query in queries if (one := _single(query, moment, chance)) is not None]
    subscribers = Subscribers(
        [Subscriber(chance.choice(gateways), query, chance.random() < 0.5) for query in single]
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            await subscribers.start(stack, tokens)
            yield subscribers
        finally:
            await subscribers.stop()


def _single(query: Query, moment: Moment, chance: random.Random) -> Query | None:
    """Return the query of one root field, or None if there is none that can be subscribed to."""
    fragments: dict[str, FragmentDefinitionNode] = {}
    operations: list[OperationDefinitionNode] = []
    for definition in query.operation.document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            fragments[definition.name.value] = definition
        elif isinstance(definition, OperationDefinitionNode):
            operations.append(definition)
    operation = chance.choice(operations)
    live = SCHEMA.subscription_type
    assert live is not None
    roots = [
        each
        for each in _fields(operation.selection_set, fragments)
        if each.name.value in live.fields
    ]
    if not roots:
        return None
    root = replace(chance.choice(roots), directives=())
    alone = replace(operation, name=None, selection_set=SelectionSetNode(selections=(root,)))
    document, used = tidied(DocumentNode(definitions=(alone, *fragments.values())))
    variables = {name: value for name, value in query.operation.variables.items() if name in used}
    found = replace(query, operation=Operation(document, None, variables), by_get=False)
    expected = moment.reference(query.profile_id).answer(
        parse(found.operation.text), variables, None
    )
    codes = {form["extensions"]["code"] for forms in expected.errors for form in forms}
    # What has invalid arguments is rejected, and does not begin.
    return found if expected.status == 200 and "BAD_USER_INPUT" not in codes else None


def _fields(
    selected: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterator[FieldNode]:
    """Yield the fields of an operation, also those in fragments."""
    for selection in selected.selections:
        inner: SelectionSetNode | None = None
        match selection:
            case FieldNode():
                yield selection
            case InlineFragmentNode():
                inner = selection.selection_set
            case FragmentSpreadNode():
                inner = fragments[selection.name.value].selection_set
        if inner is not None:
            yield from _fields(inner, fragments)


def _named(subscriber: Subscriber) -> str:
    variables: Any = json.dumps(subscriber.query.operation.variables)
    return f"{subscriber.query.profile}: {subscriber.text}\n{variables}"
