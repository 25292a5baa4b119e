"""Compute the expected responses of both dialects to read requests (docs/contract.md §2 to §5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from tests.reference.messages import not_allowed, quoted
from tests.reference.model import LARGEST_ID, PERMISSIONS, Row, may
from tests.reference.sight import Sight

ROUTES = {
    "/espaces": ("GET",),
    "/process": ("GET", "POST"),
    "/process/{idProcess}": ("GET", "DELETE"),
    "/process/{idProcess}/actions": ("POST",),
    "/process/{idProcess}/actions/{idAction}": ("DELETE",),
    "/process/{idProcess}/inputs": ("POST",),
    "/process/{idProcess}/inputs/{idInput}": ("DELETE",),
    "/process/{id}/execute": ("POST",),
    "/process/{idProcess}/profiles": ("POST", "DELETE"),
    "/process/{idProcess}/profiles/{idProfile}": ("DELETE",),
    "/processes": ("GET", "PUT"),
    "/processes/{id}": ("PUT",),
}
"""All paths of both dialects, with their methods."""

# Each kind of error: the code of /process, the code and message of /processes, the HTTP status.
INVALID = ("invalid", 1001, "Incorrect data", 400)
NOT_FOUND = ("not_found", 1005, "Resource with this id is not exists", 404)
EXPIRED = ("token_expired", 2002, "Access token expired", 401)
UNAUTHENTICATED = ("unauthenticated", 2004, "No access token", 401)
FORBIDDEN = ("forbidden", 3001, "Access to this resource is denied", 403)

TOKENS = {
    "": (UNAUTHENTICATED, "there is no token; send it as 'Authorization: Bearer <token>'"),
    "nonsense": (UNAUTHENTICATED, "this is not a token of this gateway"),
    "expired": (EXPIRED, "the token has expired; ask for a new one"),
}
"""The error for each kind of invalid token."""


@dataclass(frozen=True)
class Answer:
    """The expected response to a request."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Matched(NamedTuple):
    """The route that a path matches."""

    route: str | None
    methods: list[str]
    """The methods that the path allows."""
    value: str
    """The first path parameter, decoded. Empty if the route has none."""


def matched(path: str) -> Matched:
    parts = path.removesuffix("/").split("/")[1:]
    texts = [_decoded(part) for part in parts]
    for route, methods in ROUTES.items():
        names = route.split("/")[1:]
        if all(parts) and len(names) == len(texts):
            pairs = list(zip(names, texts, strict=True))
            if all(name == text for name, text in pairs if not name.startswith("{")):
                values = [text for name, text in pairs if name.startswith("{")]
                return Matched(route, _with_head(methods), values[0] if values else "")
    return Matched(None, [], "")


def _with_head(methods: Iterable[str]) -> list[str]:
    """Add HEAD to routes with GET."""
    return ", ".join(methods).replace("GET", "GET, HEAD").split(", ")


def answer(sight: Sight, method: str, path: str, token: str = "good") -> Answer:
    """Return the expected response to a read request.

    Args:
        sight: The data that the viewer sees.
        method: The HTTP method.
        path: The percent-encoded path.
        token: "good" for a valid token, or one of ``TOKENS``.
    """
    route, methods, text = matched(path)
    if route is None:
        return _error_response(path, NOT_FOUND, "there is no such path in this API")
    if method not in methods:
        message = f"this path does not take {quoted(method)}, only {', '.join(methods)}"
        response = _error_response(path, INVALID, message)
        return Answer(405, response.body, {**response.headers, "Allow": ", ".join(methods)})
    if token in TOKENS:
        return _error_response(path, *TOKENS[token])
    permission = PERMISSIONS["processes"]
    if route != "/espaces" and not may(sight.viewer, permission):
        message = not_allowed(f"GET {route}", permission, sight.viewer["name"])
        return _error_response(path, FORBIDDEN, message)
    match route:
        case "/espaces":
            return _success([_espace(row) for row in sight.all("Espace")])
        case "/process":
            return _success([_process(sight, row) for row in sight.all("Process")])
        case "/processes":
            rows = [_listed_process(row) for row in sight.all("Process")]
            return Answer(200, {"processes": rows}, _READ_HEADERS)
    # An id consists of ASCII digits, at most as many as the largest id has.
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else 0
    matches = [row for row in sight.all("Process") if row["id"] == number <= LARGEST_ID]
    if not matches:
        message = f"there is nothing at this path for idProcess {quoted(text)}"
        return _error_response(path, NOT_FOUND, message)
    return _success(_process(sight, matches[0]))


def _decoded(part: str) -> str:
    """Decode a part of a path. Empty if it is not a valid name."""
    try:
        text = unquote_to_bytes(part).decode()
    except ValueError:
        return ""
    return "" if "\0" in text else text


# Envelopes ---------------------------------------------------------------------------------------

_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "private, no-store",
}
_READ_HEADERS = _HEADERS | {"Cache-Control": "private, no-cache"}


def _success(data: Any) -> Answer:
    return Answer(200, {"error": False, "code": "ok", "message": "", "data": data}, _READ_HEADERS)


def _error_response(path: str, kind: tuple[str, int, str, int], message: str) -> Answer:
    process_code, processes_code, fixed_message, status = kind
    body: dict[str, Any] = {"error": True, "code": process_code, "message": message}
    if path.split("/")[1] == "processes":
        details = [{"path": [], "message": message}]
        body = {"code": processes_code, "message": fixed_message, "details": details}
    headers = _HEADERS | ({"WWW-Authenticate": "Bearer"} if status == 401 else {})
    return Answer(status, body, headers)


# Bodies ------------------------------------------------------------------------------------------


def _espace(row: Row) -> Any:
    return {key: row[key] for key in ("id", "reference", "name", "description", "icon")}


def _listed_process(process: Row) -> Any:
    return {"id": process["id"], "name": process["name"], "comment": process["description"]}


def _process(sight: Sight, process: Row) -> Any:
    espaces = sight.related("Process", "espace", process)
    return {
        "id": process["id"],
        "reference": process["reference"],
        "name": process["name"],
        "nameEnable": process["name_enable"],
        "nameDisable": process["name_disable"],
        "description": process["description"],
        "espace": _espace(espaces[0]) if espaces else None,
        "icon": process["icon"],
        "mode": process["mode"],
        "enable": int(process["enabled"]),
        "actions": [
            {
                "id": action["id"],
                "source": sight.by_id["source"][action["source_id"]]["name"],
                "action": action["action"],
                "enable": int(action["enabled"]),
                "arguments": action["arguments"],
            }
            for action in sight.related("Process", "actions", process)
        ],
        "inputs": [
            {
                "id": input_["id"],
                "reference": input_["reference"],
                "name": input_["name"],
                "type": input_["type"],
                "enable": int(input_["enabled"]),
            }
            for input_ in sight.related("Process", "inputs", process)
        ],
        "profiles": [
            {"id": profile["id"], "name": profile["name"]}
            for profile in sight.related("Process", "profiles", process)
        ],
    }
