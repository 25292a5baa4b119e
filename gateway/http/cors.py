"""Decide which pages of other origins browsers may let call the gateway (CORS).

By default none. Whatever CORS does not let a page read, a browser still sends, unless it asks first
(a preflight). So a request that could change something is also refused here if it comes from a page
of another origin, and a WebSocket is not opened for it. Clients that are no browsers send neither
``Origin`` nor ``Sec-Fetch-Site`` and are not affected.

The rules: the Fetch standard, section 3.3 (https://fetch.spec.whatwg.org/#http-cors-protocol).
"""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import hdrs, web
from multidict import CIMultiDict

from gateway.http.vary import add_vary
from gateway.settings.model import Settings
from resolvers.errors.catalogue import GatewayError, forbidden
from resolvers.values.text import shorten

_ANY = "*"
_SAFE_METHODS = (hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS)
"""Methods that change nothing."""
_METHODS = "GET, HEAD, POST, PUT, DELETE"
"""Methods of all APIs. A preflight that allows one that the path does not take gets a 405 later."""
_EXPOSED = "ETag, Retry-After, WWW-Authenticate"
"""Response headers that a page may read besides those that the Fetch standard allows."""
_FETCH_SITE = "Sec-Fetch-Site"
_SIMPLE_TYPES = ("", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
"""Content types that a page may send to another origin without a preflight."""


class CrossOrigin:
    """The pages of other origins that may call the gateway.

    Args:
        origins: Their origins, as browsers send them; ``*`` for all.
        headers: The request headers that they may send.
        max_age: Seconds that browsers may keep the answer to a preflight.
        credentials: Whether browsers add cookies and client certificates, for proxies in front.
    """

    def __init__(
        self,
        origins: Collection[str],
        headers: Collection[str],
        max_age: int,
        *,
        credentials: bool,
    ) -> None:
        self._origins = frozenset(origins)
        self._any = _ANY in self._origins
        self._headers: CIMultiDict[str] = CIMultiDict()
        if credentials:
            self._headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
        self._preflight_headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(headers),
            hdrs.ACCESS_CONTROL_MAX_AGE: str(max_age),
        }

    @classmethod
    def from_settings(cls, settings: Settings) -> CrossOrigin:
        """Return what the settings say."""
        return cls(
            _names(settings.cors_origins),
            _names(settings.cors_headers),
            settings.cors_max_age,
            credentials=settings.cors_credentials,
        )

    # Judging requests --------------------------------------------------------------------------

    def is_allowed_origin(self, request: web.BaseRequest) -> bool:
        """Whether a request comes from no page, from one of this gateway, or from an allowed one.

        A WebSocket is opened only for such a request: browsers send no preflight for it.
        """
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return request.headers.get(_FETCH_SITE) not in ("cross-site", "same-site")
        return self._any or origin in self._origins or _is_own(request, origin)

    def check(self, request: web.BaseRequest) -> None:
        """Refuse a request that could change something and comes from a page of another origin.

        Raises:
            GatewayError: ``FORBIDDEN``.
        """
        if request.method in _SAFE_METHODS:
            return
        if not self.is_allowed_origin(request):
            raise _refused(request)
        if self._any and _is_simple(request):
            # Whoever allows all pages has not said that he trusts them: the browser has to ask.
            origin = request.headers.get(hdrs.ORIGIN)
            if origin is not None and not _is_own(request, origin):
                raise forbidden(
                    "a page of another origin has to send 'Content-Type: application/json'"
                )

    def check_socket(self, request: web.BaseRequest) -> None:
        """Refuse to open a WebSocket for a page of another origin. Raises ``FORBIDDEN``."""
        if not self.is_allowed_origin(request):
            raise _refused(request)

    # Answers -----------------------------------------------------------------------------------

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """Return the response to a preflight; None if an ``OPTIONS`` request is none.

        A preflight has no token, so it needs none.

        Raises:
            GatewayError: ``FORBIDDEN``: the origin is not allowed.
        """
        headers = request.headers
        if hdrs.ORIGIN not in headers or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in headers:
            return None
        if not self.is_allowed_origin(request):
            raise _refused(request)
        return web.Response(status=204, headers=self._preflight_headers)

    def share(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Let the page that sent the request read the response, if it may.

        The response to a request without an origin, or from another one, differs: a cache has to
        know that, so ``Vary`` says so.
        """
        if not self._origins:
            return
        if self._any:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = _ANY
        else:
            add_vary(response, hdrs.ORIGIN)
            origin = request.headers.get(hdrs.ORIGIN)
            if origin not in self._origins:
                return
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers.update(self._headers)
        if request.method != hdrs.METH_OPTIONS:
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


def _is_own(request: web.BaseRequest, origin: str) -> bool:
    """Whether a request comes from a page of this gateway.

    Only browsers write ``Sec-Fetch-Site``, and only to addresses with TLS or of the machine itself.
    Otherwise the host of the page has to be the one that was called.
    """
    site = request.headers.get(_FETCH_SITE)
    if site is not None:
        return site in ("same-origin", "none")
    host = request.headers.get(hdrs.HOST, "")
    return host != "" and origin.partition("://")[2] == host.lower()


def _is_simple(request: web.BaseRequest) -> bool:
    """Whether a browser sends such a request for a page of another origin without a preflight."""
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
    return request.method == hdrs.METH_POST and content_type in _SIMPLE_TYPES


def _refused(request: web.BaseRequest) -> GatewayError:
    origin = request.headers.get(hdrs.ORIGIN, "another origin")
    return forbidden(f"pages of {shorten(origin)} may not call this gateway (cors_origins)")
