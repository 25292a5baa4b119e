"""The whole answers of both dialects to those who read: CONTRACT.md, sections 2 to 5, made in plain
Python of plain rows.
"""

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
"""Every path of both dialects, and its methods."""

# What each kind of error is called by /process, by /processes, and by HTTP.
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
"""What is said of each kind of token that is not good."""


@dataclass(frozen=True)
class Answer:
    """What a request should be answered with."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Matched(NamedTuple):
    """What a path means."""

    route: str | None
    methods: list[str]
    """Those that the path takes."""
    value: str
    """The first of what stands for the route's variable parts, decoded."""


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
    """HEAD works wherever GET does."""
    return ", ".join(methods).replace("GET", "GET, HEAD").split(", ")


def answer(sight: Sight, method: str, path: str, token: str = "good") -> Answer:
    """What a request to read is answered with.

    Args:
        path: as it is sent: percent-encoded.
        token: "good", or what is wrong with it.
    """
    route, methods, text = matched(path)
    if route is None:
        return _refused(path, NOT_FOUND, "there is no such path in this API")
    if method not in methods:
        message = f"this path does not take {quoted(method)}, only {', '.join(methods)}"
        refused = _refused(path, INVALID, message)
        return Answer(405, refused.body, {**refused.headers, "Allow": ", ".join(methods)})
    if token in TOKENS:
        return _refused(path, *TOKENS[token])
    needed = PERMISSIONS["processes"]
    if route != "/espaces" and not may(sight.viewer, needed):
        message = not_allowed(f"GET {route}", needed, sight.viewer["name"])
        return _refused(path, FORBIDDEN, message)
    match route:
        case "/espaces":
            return _done([_espace(row) for row in sight.all("Espace")])
        case "/process":
            return _done([_whole(sight, row) for row in sight.all("Process")])
        case "/processes":
            listed = [_listed(row) for row in sight.all("Process")]
            return Answer(200, {"processes": listed}, _HEADERS)
    # An id is of ASCII digits alone, and of no more than the largest one has.
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else 0
    found = [row for row in sight.all("Process") if row["id"] == number <= LARGEST_ID]
    if not found:
        message = f"there is nothing at this path for idProcess {quoted(text)}"
        return _refused(path, NOT_FOUND, message)
    return _done(_whole(sight, found[0]))


def _decoded(part: str) -> str:
    """Part of a path as text; empty where nothing can have it as its name."""
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


def _done(data: Any) -> Answer:
    return Answer(200, {"error": False, "code": "ok", "message": "", "data": data}, _HEADERS)


def _refused(path: str, kind: tuple[str, int, str, int], message: str) -> Answer:
    word, number, fixed, status = kind
    body: dict[str, Any] = {"error": True, "code": word, "message": message}
    if path.split("/")[1] == "processes":
        details = [{"path": [], "message": message}]
        body = {"code": number, "message": fixed, "details": details}
    headers = _HEADERS | ({"WWW-Authenticate": "Bearer"} if status == 401 else {})
    return Answer(status, body, headers)


# Things ------------------------------------------------------------------------------------------


def _espace(row: Row) -> Any:
    return {key: row[key] for key in ("id", "reference", "name", "description", "icon")}


def _listed(process: Row) -> Any:
    return {"id": process["id"], "name": process["name"], "comment": process["description"]}


def _whole(sight: Sight, process: Row) -> Any:
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
                "id": given["id"],
                "reference": given["reference"],
                "name": given["name"],
                "type": given["type"],
                "enable": int(given["enabled"]),
            }
            for given in sight.related("Process", "inputs", process)
        ],
        "profiles": [
            {"id": profile["id"], "name": profile["name"]}
            for profile in sight.related("Process", "profiles", process)
        ],
    }
