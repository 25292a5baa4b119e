"""Call every operation of a document through the client that openapi-python-client generated.

Runs in the environment of the tools with the arguments ``FOLDER DOCUMENT URL TOKEN``; FOLDER holds
the package ``generated``. Prints a JSON list with the ID of each operation, the status and the
parsed answer.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.rest_compat.clients.operations import Call, calls, snake_case


def _answer(client: Any, call: Call) -> tuple[int, Any]:
    module = import_module(f"generated.api.{call.tag}.{snake_case(call.operation)}")
    arguments = {"client": client}
    if call.body is not None:
        model = getattr(import_module("generated.models"), call.body_schema)
        arguments["body"] = model.from_dict(call.body)
    response = module.sync_detailed(*call.path, **arguments)
    parsed = response.parsed
    return int(response.status_code), None if parsed is None else parsed.to_dict()


def main(folder: str, document: str, url: str, token: str) -> None:
    sys.path.insert(0, folder)
    client = import_module("generated").AuthenticatedClient(
        base_url=url, token=token, raise_on_unexpected_status=True
    )
    answers: list[dict[str, Any]] = []
    for call in calls(json.loads(Path(document).read_text())):
        status, answer = _answer(client, call)
        answers.append({"operation": call.operation, "status": status, "answer": answer})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
