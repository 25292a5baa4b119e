"""Test what clients get while PostgreSQL or the network to it fails, and after that.

Readers and writers of all APIs are at work during each fault. No acknowledged write is lost, no
write that failed was stored, every answer is right or says that the database is unavailable or
busy, all are in time, and from one second after the fault all are right.
"""

from __future__ import annotations

import pytest

from tests.faults import faults
from tests.faults.conftest import Endure
from tests.faults.world import CHAOS, Fault, World

pytestmark = pytest.mark.timeout(300)

OF_POSTGRESQL = [
    Fault("PostgreSQL is killed", faults.kill),
    Fault("a backend is killed", faults.kill_backend, unready=False, long=True),
    Fault("PostgreSQL is stopped", faults.freeze),
    Fault("PostgreSQL is restarted", faults.restart),
    Fault("all connections are taken", faults.take_all_connections),
    Fault(
        "PostgreSQL is read-only",
        faults.make_read_only,
        reads_fail=False,
        unready=False,
        reason="read-only",
    ),
    Fault("backends are terminated", faults.terminate_backends, reads_fail=False, unready=False),
]
OF_THE_NETWORK = [
    Fault("connections are cut", faults.cut, reads_fail=False, unready=False),
    Fault("connections are refused", faults.refuse),
    Fault(
        "the network is slow",
        faults.delay,
        reads_fail=False,
        writes_fail=False,
        unready=False,
        long=True,
    ),
    Fault("the network is silent", faults.silence, long=True),
]


def _each(of: list[Fault]) -> pytest.MarkDecorator:
    chosen = [fault for fault in of if CHAOS or not fault.long]
    return pytest.mark.parametrize("fault", chosen, ids=lambda fault: fault.name)


@_each(OF_POSTGRESQL)
async def test_postgresql_fails(fault: Fault, direct: World, endure: Endure) -> None:
    await endure(direct, fault)


@_each(OF_THE_NETWORK)
async def test_the_network_fails(fault: Fault, behind: World, endure: Endure) -> None:
    await endure(behind, fault)
