"""Write entity tags, and read those of conditional requests (RFC 9110, section 13.1.2)."""

from __future__ import annotations

import re
from collections.abc import Collection, MutableMapping

from aiohttp import hdrs, web

from gateway.http.compression import ETAG, plain_tag

NO_STORE = "private, no-store"
"""``Cache-Control`` of answers that must not be kept."""
_REVALIDATE = "private, no-cache"
"""``Cache-Control`` of answers that may be kept, and used after asking whether they still hold."""
_READS = ("GET", "HEAD")
_TAG = re.compile(r'(?:W/)?"([!#-~]*)"')


def known_tags(request: web.BaseRequest) -> Collection[str]:
    """Return the tags of the answers that the client has; none unless it only reads.

    The tag of a compressed answer counts as that of the answer as it is.
    """
    if request.method not in _READS or hdrs.IF_NONE_MATCH not in request.headers:
        return ()
    tags = _TAG.findall(",".join(request.headers.getall(hdrs.IF_NONE_MATCH)))
    return frozenset(map(plain_tag, tags))


def add_tag(request: web.BaseRequest, headers: MutableMapping[str, str], tag: str) -> None:
    """Add the headers of a successful answer with this tag."""
    headers[ETAG] = f'"{tag}"'
    if request.method in _READS:
        headers[hdrs.CACHE_CONTROL] = _REVALIDATE


def is_known(request: web.BaseRequest, known: Collection[str], tag: str) -> bool:
    """Whether the client has the answer with this tag, or says that any will do (``*``).

    Args:
        known: The ``known_tags`` of the request.
    """
    return tag in known or (
        request.method in _READS and request.headers.get(hdrs.IF_NONE_MATCH, "").strip() == "*"
    )
