"""Serve a body that never changes, in compressed forms that are made once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import hdrs, web

from gateway.http.compression import (
    ETAG,
    THOROUGH,
    Coding,
    Compression,
    encode,
    is_worth_it,
    tag_of,
)


@dataclass(frozen=True, slots=True)
class _Form:
    """The asset in one coding, or as it is."""

    body: bytes
    headers: Mapping[str, str]
    tag: str
    """The value of its ``ETag``, without quotes."""


class Asset:
    """A body that never changes. It is read, and compressed, when it is first asked for.

    Args:
        read: Returns the body.
        headers: The headers of every response.
        compression: What is compressed, and where.
    """

    def __init__(
        self, read: Callable[[], bytes], headers: Mapping[str, str], compression: Compression
    ) -> None:
        self._read = read
        self._headers = headers
        self._compression = compression
        self._forms: dict[Coding | None, _Form] = {}

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer a request, with 304 if the client has the form already."""
        coding = self._compression.coding_for(request)
        form = self._forms.get(coding)
        if form is None:
            form = await self._compression.worker.compute(lambda: self._form(coding))
            self._forms[coding] = form
        if any(tag.value in (form.tag, "*") for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=form.headers)
        return web.Response(body=form.body, headers=form.headers)

    def _form(self, coding: Coding | None) -> _Form:
        body = self._read()
        tag = hashlib.sha256(body).hexdigest()[:16]
        headers = dict(self._headers)
        if coding is not None and is_worth_it(body):
            body, tag = encode(body, coding, THOROUGH), tag_of(tag, coding)
            headers[hdrs.CONTENT_ENCODING] = coding
        headers[ETAG] = f'"{tag}"'
        return _Form(body, headers, tag)
