"""In charge of the pages for people: GraphiQL, and the API documentation of both dialects.

Everything that a page loads comes from this server; the content security policy holds the browser
to that. The scripts of GraphiQL and Swagger UI are files of installed packages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from aiohttp import hdrs, web

from gateway.settings.model import Settings

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_HEADERS = MappingProxyType(
    {
        # Both programs set styles in the document; GraphiQL's editor draws with data: images.
        "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)
# Not as the system has it: some say application/javascript, and none says the charset.
_TYPES = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml; charset=utf-8",
    }
)
_CACHED = MappingProxyType({**_HEADERS, hdrs.CACHE_CONTROL: "public, max-age=3600"})


def pages(settings: Settings, openapi: Mapping[str, bytes]) -> dict[str, Handler]:
    """The pages and all that they load, by path.

    Args:
        openapi: the OpenAPI document of each dialect (JSON), by the dialect's name.
    """
    found = {
        f"/openapi/{name}.json": _fixed(document, "application/json; charset=utf-8")
        for name, document in openapi.items()
    }
    own = resources.files(__package__)
    for name in ("docs.js", "graphiql.js", "icon.svg", "index.css"):
        content_type = _TYPES[Path(name).suffix]
        found[f"/static/pages/{name}"] = _fixed((own / name).read_bytes(), content_type)
    found["/"] = page("index.html")
    found["/docs"] = page("docs.html")
    found |= _files("/static/swagger-ui/", _package("swagger_ui_bundle") / "vendor")
    if settings.graphiql:
        folder = _package("graphene_django_graphiql_static") / "static"
        found |= _files("/static/graphiql/", folder)
    return found


def wants_page(request: web.BaseRequest) -> bool:
    """Whether a browser asks for a page to look at, and not a program for an answer."""
    accepts = request.headers.get(hdrs.ACCEPT, "")
    return "text/html" in accepts and "query" not in request.query


def _package(name: str) -> Path:
    """The folder of an installed package, which is not imported: it may want what is not here."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _files(prefix: str, folder: Path) -> dict[str, Handler]:
    """The files of the one folder in ``folder``, whatever version it names."""
    (found,) = (path for path in folder.iterdir() if path.is_dir())
    served = (path for path in found.iterdir() if path.suffix in _TYPES)
    return {f"{prefix}{path.name}": _file(path) for path in served}


def _file(path: Path) -> Handler:
    async def handler(request: web.BaseRequest) -> web.FileResponse:
        return web.FileResponse(path, headers={**_CACHED, hdrs.CONTENT_TYPE: _TYPES[path.suffix]})

    return handler


def page(name: str) -> Handler:
    """A handler that answers with one of the pages in this folder."""
    body = (resources.files(__package__) / name).read_bytes()
    return _fixed(body, "text/html; charset=utf-8")


def _fixed(body: bytes, content_type: str) -> Handler:
    """A handler that always answers the same."""
    headers = {**_HEADERS, hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: "no-cache"}

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(body=body, headers=headers)

    return handler
