"""Both dialects, over real HTTP."""

from __future__ import annotations

import pytest

from tests.conftest import Gateway
from tests.rest_compat.api import Api


@pytest.fixture
def api(gateway: Gateway) -> Api:
    return Api(gateway)
