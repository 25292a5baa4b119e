"""Send the examples of the OpenAPI documents to a gateway with the demo home."""

from __future__ import annotations

import pytest

from tests.conftest import Gateway
from tests.rest_compat.clients.operations import calls
from tests.rest_compat.documents import (
    answer_example,
    check,
    content_of,
    is_beginning,
    operations,
)

DIALECTS = ["process", "processes"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_example_works_unchanged(home: Gateway, dialect: str) -> None:
    document = (await home.call("GET", f"/openapi/{dialect}.json", profile=None)).json
    by_id = {operation["operationId"]: operation for _, _, operation in operations(document)}
    for call in calls(document):
        reply = await home.call(call.method, call.url, call.body)
        assert reply.status == 200, (call.operation, reply.body)
        response = by_id[call.operation]["responses"]["200"]
        if not reply.body:
            assert "content" not in response
            continue
        check(reply.json, content_of(response, document)["schema"], document)
        assert is_beginning(answer_example(document, call.operation), reply.json), reply.json
