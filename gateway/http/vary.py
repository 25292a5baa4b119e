"""Say which request headers a response depends on."""

from __future__ import annotations

from aiohttp import hdrs, web


def add_vary(response: web.StreamResponse, name: str) -> None:
    """Add the name of a request header to ``Vary``."""
    present = response.headers.get(hdrs.VARY)
    response.headers[hdrs.VARY] = name if present is None else f"{present}, {name}"
