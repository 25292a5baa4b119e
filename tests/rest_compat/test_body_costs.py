"""Test that a body that is refused costs no more than one of its size that is accepted."""

from __future__ import annotations

import contextlib
import time

import pytest

from resolvers.errors.catalogue import GatewayError
from resolvers.values.json_pieces import loads_list
from rest_compat.processes.bodies import processes_check
from tests.hostile.bodies import BODIES

MAX_ITEMS = 20_000
ACCEPTED = "20,000 processes that do not exist"


def seconds(body: bytes) -> float:
    """Return the processor time that parsing and checking a body takes at least."""
    times = []
    for _ in range(3):
        start = time.process_time()
        with contextlib.suppress(GatewayError):
            loads_list(body, "", MAX_ITEMS, processes_check())
        times.append(time.process_time() - start)
    return min(times)


@pytest.fixture(scope="module")
def accepted() -> float:
    """What a list of 15 MiB takes that is in order."""
    return seconds(BODIES[ACCEPTED]())


@pytest.mark.parametrize("name", [name for name in BODIES if name != ACCEPTED])
def test_a_refused_body_costs_no_more_than_an_accepted_one(accepted: float, name: str) -> None:
    assert seconds(BODIES[name]()) < 2 * accepted
