"""Test that the viewer is judged again: tokens end connections, and changed rights the answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from storage.writes.access import revoke_token
from tests.conftest import Gateway, running_gateway
from tests.gateway.http.live.sockets import COUNT, NAMES, SocketClient, connected, talking
from tests.gateway.http.live.streams import streaming
from tests.resolvers.home import Home

HALL = 'subscription { process(reference: "hall") { name actions { action } } }'


@contextlib.asynccontextmanager
async def following(gateway: Gateway, token: str, query: str) -> AsyncIterator[SocketClient]:
    """Open a socket with a subscription."""
    async with connected(gateway) as client:
        await client.init(token)
        await client.subscribe(query)
        yield client


async def revoke(gateway: Gateway, token: str) -> None:
    claims = gateway.services.keys.verify(token)
    async with gateway.database.transaction() as transaction:
        expiry = datetime.fromtimestamp(claims.expires_at, UTC)
        await revoke_token(transaction, claims.token_id, expiry)


async def add_cleaner(gateway: Gateway, *permissions: str) -> str:
    """Add a profile that sees only what it is authorized on."""
    profile = {"name": "cleaner", "permissions": permissions or ["PROCESS_READ"]}
    created: str = (await Home(gateway).do("createProfile", profile=profile))["profile"]["id"]
    return created


# Tokens ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [True, False])
async def test_a_revoked_token_closes_its_sockets_and_no_others(
    gateway: Gateway, *, busy: bool
) -> None:
    token = await gateway.token()
    async with connected(gateway) as idle, following(gateway, token, COUNT) as one:
        await idle.init(token)
        await one.data()
        async with talking(gateway) as other:
            await other.subscribe(COUNT)
            await other.data()
            revoked = time.monotonic()
            await revoke(gateway, token)
            if busy:
                await Home(gateway).process("hall")
            assert await one.closed() == 4403
            assert await idle.closed() == 4403
            assert time.monotonic() - revoked < 5
            if not busy:
                await Home(gateway).process("hall")
            assert await other.data() == {"processes": {"totalCount": 1}}


async def test_a_token_that_expires_closes_its_sockets(gateway: Gateway) -> None:
    token = await gateway.token(ttl=timedelta(seconds=2))
    async with following(gateway, token, COUNT) as client:
        await client.data()
        assert await client.closed() == 4403
        assert time.time() >= gateway.services.keys._read(token).expires_at


async def test_a_deleted_profile_closes_its_sockets(gateway: Gateway) -> None:
    cleaner = await add_cleaner(gateway)
    async with following(gateway, await gateway.token("cleaner"), COUNT) as client:
        await client.data()
        await Home(gateway).do("deleteProfile", id=cleaner)
        assert await client.closed() == 4403


async def test_a_revoked_token_ends_its_streams_with_an_error(gateway: Gateway) -> None:
    token = await gateway.token()
    gateway.token = lambda *_: asyncio.sleep(0, token)  # type: ignore[method-assign]
    async with streaming(gateway, COUNT) as stream:
        await stream.data()
        await revoke(gateway, token)
        kind, answer = await stream.event()
        assert kind == "next"
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert await stream.ends()


async def test_an_operation_with_a_revoked_token_closes_the_socket(gateway: Gateway) -> None:
    token = await gateway.token()
    async with connected(gateway) as client:
        await client.init(token)
        await revoke(gateway, token)
        await client.subscribe("{ espaces { totalCount } }")
        while (message := await client.socket.receive()).type.name == "TEXT":
            pass  # it may have been answered before the revocation arrived
        assert message.data == 4403


# Rights ------------------------------------------------------------------------------------------


async def test_an_authorization_takes_effect_with_the_next_event(gateway: Gateway) -> None:
    home = Home(gateway)
    cleaner = await add_cleaner(gateway)
    hall = await home.process("hall")
    async with (
        following(gateway, await gateway.token("cleaner"), NAMES) as client,
        following(gateway, await gateway.token("guest"), NAMES) as guest,
    ):
        assert await client.data() == {"processes": {"nodes": []}}
        assert await guest.data() == {"processes": {"nodes": [{"name": "The hall"}]}}
        await home.do("authoriseProfile", process=hall, profile={"id": cleaner})
        assert await client.data() == {"processes": {"nodes": [{"name": "The hall"}]}}
        await home.do("unauthoriseProfile", process=hall, profile={"id": cleaner})
        assert await client.data() == {"processes": {"nodes": []}}
        await home.do("updateProcess", id=hall, changes={"name": "Hall"})
        assert await guest.data() == {"processes": {"nodes": [{"name": "Hall"}]}}
        assert await client.is_silent()


async def test_a_permission_takes_effect_without_another_change(gateway: Gateway) -> None:
    home = Home(gateway)
    cleaner = await add_cleaner(gateway)
    async with following(gateway, await gateway.token("cleaner"), COUNT) as client:
        assert await client.data() == {"processes": {"totalCount": 0}}
        await home.process("hall")
        await home.do("updateProfile", id=cleaner, changes={"permissions": []})
        message = await client.receive()
        assert message["payload"]["data"] == {"processes": None}
        assert message["payload"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        await home.do("updateProfile", id=cleaner, changes={"permissions": ["ADMIN"]})
        assert await client.data() == {"processes": {"totalCount": 1}}
        await home.process("attic")
        assert await client.data() == {"processes": {"totalCount": 2}}


async def test_a_permission_that_was_taken_before_a_change_hides_it(gateway: Gateway) -> None:
    """Both are committed together by another gateway, whose notification may arrive late."""
    home = Home(gateway)
    cleaner = await add_cleaner(gateway, "ADMIN")
    await home.process("hall")
    assert cleaner
    async with following(gateway, await gateway.token("cleaner"), NAMES) as client:
        assert await client.data() == {"processes": {"nodes": [{"name": "The hall"}]}}
        for number in range(5):
            async with gateway.database.transaction() as transaction:
                await transaction.fetch(
                    "UPDATE profile SET permissions = '{process:read}' WHERE name = 'cleaner'"
                )
                await transaction.fetch("UPDATE process SET name = $1", f"secret {number}")
            assert await client.data() == {"processes": {"nodes": []}}
            async with gateway.database.transaction() as transaction:
                await transaction.fetch("UPDATE process SET name = $1", f"public {number}")
                await transaction.fetch(
                    "UPDATE profile SET permissions = '{admin}' WHERE name = 'cleaner'"
                )
            assert await client.data() == {"processes": {"nodes": [{"name": f"public {number}"}]}}


async def test_a_permission_takes_effect_without_a_notification(gateway: Gateway) -> None:
    """Notifications can be late. The change of a profile is seen with the changes of data."""
    await add_cleaner(gateway, "ADMIN")
    await gateway.run("ALTER TABLE profile DISABLE TRIGGER access_changed")
    async with following(gateway, await gateway.token("cleaner"), COUNT) as client:
        assert await client.data() == {"processes": {"totalCount": 0}}
        async with gateway.database.transaction() as transaction:
            await transaction.fetch("UPDATE profile SET permissions = '{}' WHERE NOT built_in")
            await transaction.fetch("INSERT INTO process (reference, name) VALUES ('a', 'A')")
        assert (await client.receive())["payload"]["data"] == {"processes": None}


async def test_profiles_that_see_the_same_share_a_read_and_others_do_not(gateway: Gateway) -> None:
    await add_cleaner(gateway)
    subscriptions = gateway.services.subscriptions
    async with contextlib.AsyncExitStack() as stack:
        for profile, distinct in (
            ("admin", 1),
            ("admin", 1),
            ("guest", 1),
            ("occupant", 1),
            ("cleaner", 2),
            ("cleaner", 2),
        ):
            token = await gateway.token(profile)
            client = await stack.enter_async_context(following(gateway, token, COUNT))
            await client.data()
            assert subscriptions.distinct == distinct
        reads = subscriptions.reads
        await gateway.run("INSERT INTO process (reference, name) VALUES ('hall', 'Hall')")
        await client.is_silent()
        assert subscriptions.reads == reads + 2
        assert subscriptions.count == 6


async def test_a_viewer_of_another_gateway_sees_its_changes(gateway: Gateway) -> None:
    home = Home(gateway)
    await home.process("hall", actions=[{"source": "echo", "action": "a"}])
    async with (
        running_gateway(gateway.database) as another,
        following(another, await another.token(), HALL) as client,
    ):
        assert (await client.data())["process"]["name"] == "The hall"
        await gateway.run("UPDATE action SET action = 'b'")
        assert (await client.data())["process"]["actions"] == [{"action": "b"}]
