"""Serve the HTML pages: GraphiQL, the documentation of both dialects, and the entry page.

A page loads everything from this server, which the content security policy enforces. The scripts of
GraphiQL and Swagger UI are files of installed packages.
"""

from __future__ import annotations

import html
import shlex
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from aiohttp import hdrs, web

from gateway.http.compression import Compression
from gateway.http.pages.asset import Asset
from gateway.settings.model import Settings

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_HEADERS = MappingProxyType(
    {
        # GraphiQL and Swagger UI set inline styles; the editor of GraphiQL uses data: images.
        "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)
# Fixed here: the types that operating systems register differ and have no charset.
_TYPES = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml; charset=utf-8",
    }
)
_CACHED = MappingProxyType({**_HEADERS, hdrs.CACHE_CONTROL: "public, max-age=3600"})


def pages(
    settings: Settings, openapi: Mapping[str, bytes], compression: Compression
) -> dict[str, Handler]:
    """Return the handlers of the pages, and of the files that they load, by path.

    Args:
        settings: The settings in force.
        openapi: The OpenAPI document of each dialect (JSON), by the name of the dialect.
        compression: Compresses them.
    """
    handlers: dict[str, Handler] = {
        f"/openapi/{name}.json": _fixed(document, "application/json; charset=utf-8", compression)
        for name, document in openapi.items()
    }
    own = resources.files(__package__)
    for name in ("docs.js", "graphiql.js", "icon.svg", "index.css"):
        body = (own / name).read_bytes()
        handlers[f"/static/pages/{name}"] = _fixed(body, _TYPES[Path(name).suffix], compression)
    handlers["/"] = _page("index.html", compression)
    handlers["/docs"] = _page("docs.html", compression)
    handlers |= _files("/static/swagger-ui/", _package("swagger_ui_bundle") / "vendor", compression)
    if settings.graphiql:
        folder = _package("graphene_django_graphiql_static") / "static"
        handlers |= _files("/static/graphiql/", folder, compression)
    return handlers


def graphiql_page(settings: Settings, compression: Compression) -> Handler:
    """Return the handler of GraphiQL, which shows how to get a token for this gateway."""
    command = ["process-gateway", "token", "--profile", "admin"]
    # The address of an external database may hold a password, so it is not shown.
    if settings.database_url is None:
        command += ["--data-dir", str(settings.data_dir.absolute())]
    return _page("graphiql.html", compression, token_command=shlex.join(command))


def wants_page(request: web.BaseRequest) -> bool:
    """Whether the request is a browser opening a page, and not a client running a query."""
    accepts = request.headers.get(hdrs.ACCEPT, "")
    return "text/html" in accepts and "query" not in request.query


def _package(name: str) -> Path:
    """Return the folder of an installed package without importing it or its dependencies."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _files(prefix: str, folder: Path, compression: Compression) -> dict[str, Handler]:
    """Return the handlers of the files in the only subfolder, which is named after a version."""
    (version_folder,) = (path for path in folder.iterdir() if path.is_dir())
    return {
        f"{prefix}{path.name}": Asset(
            path.read_bytes, {**_CACHED, hdrs.CONTENT_TYPE: _TYPES[path.suffix]}, compression
        )
        for path in version_folder.iterdir()
        if path.suffix in _TYPES
    }


def _page(name: str, compression: Compression, **values: str) -> Handler:
    """Return the handler of a page in this folder, with each ``{{name}}`` in it replaced."""
    text = (resources.files(__package__) / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", html.escape(value))
    # A path that is not valid UTF-8 shows question marks.
    return _fixed(text.encode(errors="replace"), "text/html; charset=utf-8", compression)


def _fixed(body: bytes, content_type: str, compression: Compression) -> Handler:
    headers = {**_HEADERS, hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: "no-cache"}
    return Asset(lambda: body, headers, compression)
