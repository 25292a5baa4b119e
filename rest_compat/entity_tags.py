"""Write the ``ETag`` of a process, and read the tags that clients send back in ``If-Match``.

The entity tag of a process begins with its version (``Process.version``). What follows after a
hyphen tells forms of the same answer apart, such as the compressed ones that a proxy makes; it does
not matter for ``If-Match``. RFC 9110 defines the headers in sections 8.8.3 and 13.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from resolvers.errors.catalogue import bad_value
from resolvers.values.text import shorten

IF_MATCH = "If-Match"

_MOST_TAGS = 10
"""Different tags of a request. Each may need a transaction."""
_ITEM = re.compile(r'[ \t]*(?:(W/)?"([^\x00-\x20"\x7f]*)")?[ \t]*(?:,|$)')
"""An item of the list, which may be empty, and the comma behind it."""


def tag_of(version: str, answer: str) -> str:
    """Return the tag of an answer that shows a process.

    Args:
        version: The version of the process.
        answer: The tag of the answer among all of its versions.
    """
    return f"{version}-{answer}"


def known_tag(known: Collection[str], answer: str) -> str | None:
    """Return the tag, among those that a client has, of the answer with this tag."""
    return next((tag for tag in known if tag.partition("-")[2] == answer), None)


def read_if_match(header: str | None) -> tuple[str, ...] | None:
    """Return the versions that a request accepts; None if it accepts any.

    A weak tag matches nothing. It is part of the result, but no version equals it.

    Args:
        header: The value of ``If-Match``; None if the request does not have it.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if it is neither ``*`` nor a list of entity tags.
    """
    if header is None or header.strip(" \t") == "*":
        return None
    tags: dict[str, None] = {}
    position = 0
    while position < len(header):
        item = _ITEM.match(header, position)
        if item is None:
            tags.clear()
            break
        weak, tag = item.groups()
        if tag is not None:
            tags[f"W/{tag}" if weak else tag.partition("-")[0]] = None
        position = item.end()
    if not tags:
        expected = 'expected * or entity tags such as "0123abcd", separated by commas'
        raise bad_value((IF_MATCH,), f"{expected}, got {shorten(header)}")
    if len(tags) > _MOST_TAGS:
        raise bad_value((IF_MATCH,), f"expected at most {_MOST_TAGS} entity tags, got {len(tags)}")
    return tuple(tags)
