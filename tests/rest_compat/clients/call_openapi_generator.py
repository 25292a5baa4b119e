"""Call every operation of a document through the Python client that openapi-generator generated.

Runs in the environment of the tools with the arguments ``FOLDER DOCUMENT URL TOKEN``; FOLDER holds
the package ``openapi_client``. Prints a JSON list with the ID of each operation, the status and the
parsed answer.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.rest_compat.clients.operations import Call, calls, snake_case


def _answer(package: Any, client: Any, call: Call) -> tuple[int, Any]:
    api = getattr(package, f"{call.tag.capitalize()}Api")(client)
    arguments = {}
    if call.body is not None:
        model = getattr(package, call.body_schema)
        arguments[snake_case(call.body_schema)] = model.from_dict(call.body)
    method = getattr(api, f"{snake_case(call.operation)}_with_http_info")
    response = method(*call.path, **arguments)
    parsed = response.data
    return response.status_code, None if parsed is None else json.loads(parsed.to_json())


def main(folder: str, document: str, url: str, token: str) -> None:
    sys.path.insert(0, folder)
    package = import_module("openapi_client")
    client = package.ApiClient(package.Configuration(host=url, access_token=token))
    answers: list[dict[str, Any]] = []
    for call in calls(json.loads(Path(document).read_text())):
        status, answer = _answer(package, client, call)
        answers.append({"operation": call.operation, "status": status, "answer": answer})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
