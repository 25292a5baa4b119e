"""Compress the bodies of responses as ``Accept-Encoding`` asks (RFC 9110 §12.5.3).

The libraries release Python's lock, so a thread compresses while the event loop runs.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Literal, NamedTuple, get_args

import brotli
from aiohttp import hdrs, web

from gateway.http.negotiation import qualities
from gateway.http.response_body import Parts
from gateway.http.vary import add_vary
from resolvers.operations.kept import Kept, KeptAnswers
from resolvers.operations.worker import Worker

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Coding = Literal["zstd", "br", "gzip"]
_CODINGS: tuple[Coding, ...] = get_args(Coding)

ETAG = "ETag"
"""As RFC 9110 writes it. The constant of aiohttp is ``Etag``."""
_MIN_SIZE = 1024
"""Bytes from which on a body is compressed. A shorter one fits into a packet as it is."""
_INLINE: Mapping[Coding, int] = {"zstd": 160 * 1024, "br": 32 * 1024, "gzip": 32 * 1024}
"""Bytes up to which compressing takes little longer than the change of threads, 0.1 ms. In zstd,
this includes the chunks of a stream."""
_BROTLI_WINDOW = 19
"""The logarithm of the window of brotli. With its default of 22, each stream keeps 2 MB."""
_GZIP = 16 + zlib.MAX_WBITS
"""Makes zlib write gzip."""


class Levels(NamedTuple):
    """The effort of each coding."""

    zstd: int
    br: int
    gzip: int


FAST = Levels(zstd=1, br=3, gzip=3)
"""For what is compressed for one response. Milliseconds of a processor, and bytes, for 10.9 MB of
GET /process and for a page of 66 KB:

======  ==  =======  ====  =====
zstd 1   7  523,000  0.07  4,170
br 3    24  550,000  0.15  4,158
gzip 3  24  644,000  0.14  4,944
gzip 6  64  504,000  0.42  4,191
======  ==  =======  ====  =====
"""
THOROUGH = Levels(zstd=12, br=6, gzip=6)
"""For what is compressed once: 50 ms for 1.5 MB of JavaScript. The highest levels make it 10 %
smaller, and take 2 s."""


# Codings ---------------------------------------------------------------------------------------


class _Encoder(NamedTuple):
    """Compresses a body in pieces. Both functions return what can be sent, which can be nothing."""

    feed: Callable[[bytes], bytes]
    finish: Callable[[], bytes]


def _encoder(coding: Coding, levels: Levels) -> _Encoder:
    if coding == "zstd":
        with_zstd = zstd.ZstdCompressor(levels.zstd)
        return _Encoder(with_zstd.compress, with_zstd.flush)
    if coding == "br":
        with_brotli = brotli.Compressor(quality=levels.br, lgwin=_BROTLI_WINDOW)
        return _Encoder(with_brotli.process, with_brotli.finish)
    with_zlib = zlib.compressobj(levels.gzip, zlib.DEFLATED, _GZIP)
    return _Encoder(with_zlib.compress, with_zlib.flush)


def encode(body: bytes, coding: Coding, levels: Levels = FAST) -> bytes:
    """Return a body in a content coding."""
    encoder = _encoder(coding, levels)
    return encoder.feed(body) + encoder.finish()


class _StreamEncoder:
    """Compresses a body while it is sent, large pieces of it in a thread."""

    def __init__(self, worker: Worker, coding: Coding) -> None:
        self._compute = worker.compute
        self._inline = _INLINE[coding]
        self._encoder = _encoder(coding, FAST)

    async def feed(self, data: bytes) -> bytes:
        """Return what can be sent after these bytes."""
        feed = self._encoder.feed
        return feed(data) if len(data) <= self._inline else await self._compute(partial(feed, data))

    async def finish(self) -> bytes:
        """Return the rest."""
        return await self._compute(self._encoder.finish)


def is_worth_it(body: bytes) -> bool:
    """Whether a body is long enough to be compressed."""
    return len(body) >= _MIN_SIZE


# Entity tags -----------------------------------------------------------------------------------


def tag_of(tag: str, coding: Coding) -> str:
    """Return the entity tag of a body in a coding.

    A strong tag stands for the bytes that are sent, so it differs (RFC 9110 §8.8.3.3).

    Args:
        tag: The tag of the body as it is, without quotes.
    """
    return f"{tag}-{coding}"


def plain_tag(tag: str) -> str:
    """Return the entity tag of the body as it is, from that of the body in any coding."""
    plain, _, coding = tag.rpartition("-")
    return plain if coding in _CODINGS else tag


def _held_tag(request: web.BaseRequest, tag: str) -> str:
    """Return the entity tag of the form that a client has.

    Args:
        tag: The entity tag of the body as it is.
    """
    held = request.headers.get(hdrs.IF_NONE_MATCH, "")
    forms = (tag_of(tag, coding) for coding in _CODINGS)
    return next((form for form in forms if f'"{form}"' in held), tag)


# Negotiation -----------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def negotiate(accept_encoding: str) -> Coding | None:
    """Return the coding that a client prefers; of those that it likes as much, the fastest.

    Args:
        accept_encoding: The header; "" if there is none.

    Returns:
        None for a body as it is: the client prefers that, or accepts no coding of ours. If it does
        not accept that either, the header is disregarded (RFC 9110 §12.4.1).
    """
    accepted = qualities(accept_encoding)
    others = accepted.get("*", 0.0)
    offered: dict[Coding, float] = {
        "zstd": accepted.get("zstd", others),
        "br": accepted.get("br", others),
        "gzip": accepted.get("gzip", accepted.get("x-gzip", others)),
    }
    best = max(offered, key=lambda coding: offered[coding])  # the first of equal ones
    if offered[best] == 0 or offered[best] < accepted.get("identity", 0.0):
        return None
    return best


def _refuses_identity(accept_encoding: str) -> bool:
    """Whether a client does not accept a body as it is."""
    accepted = qualities(accept_encoding)
    return accepted.get("identity", accepted.get("*", 1.0)) == 0


def _accept_encoding(request: web.BaseRequest) -> str:
    return ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))


# Kept answers ----------------------------------------------------------------------------------


class KeptForms(NamedTuple):
    """The compressed forms of a body, beside the kept answer that is a part of it."""

    answers: KeptAnswers
    kept: Kept
    frame: bytes
    """The rest of the body. The same answer can be in several, such as under different aliases."""

    @classmethod
    def of(cls, answers: KeptAnswers, kept: Kept, parts: Sequence[object]) -> KeptForms:
        """Return the forms of the body with these parts, among them those of the answer."""
        own = set(map(id, kept.parts or ()))
        rest = (part for part in parts if isinstance(part, bytes) and id(part) not in own)
        return cls(answers, kept, b"".join(rest))

    def get(self, coding: Coding) -> bytes | None:
        """Return the body in a coding, if it is kept."""
        return self.kept.forms.get((coding, self.frame))

    def add(self, coding: Coding, body: bytes) -> None:
        """Keep the body in a coding."""
        self.answers.add_form(self.kept, (coding, self.frame), body)


FORMS = web.ResponseKey("FORMS", KeptForms)
"""The key of the forms in a response, which is a mapping."""

# Responses -------------------------------------------------------------------------------------


class Compression:
    """Compresses responses.

    Args:
        enabled: Whether it does, or leaves them as they are.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self.worker = Worker("compression")

    def coding_for(self, request: web.BaseRequest) -> Coding | None:
        """Return the coding of the responses to a request; None for none."""
        return negotiate(_accept_encoding(request)) if self._enabled else None

    async def apply(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Compress the body of a response if it has one, and the client accepts that.

        A response that is encoded already, or that writes itself, stays as it is. ``ETag`` becomes
        that of the body in its coding, also in a response with the status 304.
        """
        if not self._enabled or not isinstance(response, web.Response):
            return
        body, headers = response.body, response.headers
        if body is None:
            if response.status == 304:
                add_vary(response, hdrs.ACCEPT_ENCODING)
                headers[ETAG] = f'"{_held_tag(request, _tag_in(headers))}"'
            return
        add_vary(response, hdrs.ACCEPT_ENCODING)
        accepted = _accept_encoding(request)
        coding = negotiate(accepted)
        if coding is None or hdrs.CONTENT_ENCODING in headers:
            return
        if isinstance(body, Parts) and body.size is None:
            if request.method == hdrs.METH_HEAD:
                body.end()
            else:
                body.encode(_StreamEncoder(self.worker, coding))
        else:
            forms = response.get(FORMS)
            encoded = forms.get(coding) if forms is not None else None
            if encoded is None:
                whole = body.join() if isinstance(body, Parts) else body
                assert isinstance(whole, bytes)
                if not is_worth_it(whole) and not _refuses_identity(accepted):
                    return
                encoded = await self._encoded(whole, coding)
                if forms is not None:
                    forms.add(coding, encoded)
            response.body = encoded
        headers[hdrs.CONTENT_ENCODING] = coding
        if ETAG in headers:
            headers[ETAG] = f'"{tag_of(_tag_in(headers), coding)}"'

    async def _encoded(self, body: bytes, coding: Coding) -> bytes:
        if len(body) <= _INLINE[coding]:
            return encode(body, coding)
        return await self.worker.compute(partial(encode, body, coding))


def _tag_in(headers: Mapping[str, str]) -> str:
    return headers[ETAG].strip('"')
