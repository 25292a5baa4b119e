"""Tell clients apart by their addresses, behind trusted proxies too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from aiohttp import web

from gateway.settings.model import Settings

_CACHED_ADDRESSES = 4096
_LONGEST_ADDRESS = 64  # characters; an IPv6 address with brackets, zone and port
_MOST_PROXIES = 20


class _Address(NamedTuple):
    key: str
    """The address, or the network of an IPv6 address: one client has all addresses of a /64."""
    is_trusted: bool


class ClientAddresses:
    """Finds the address of the client that sent a request.

    A header counts only if a trusted proxy sent it. Each proxy appends the address of its peer, so
    the header is read from its end, up to the first address that is not a trusted proxy: a client
    can write what it wants, but only before that.

    Args:
        trusted: The networks of the proxies.
        header: The header that they append to. Proxies pass the other one on as they received it,
            so it is never read.
    """

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network], header: str) -> None:
        self._trusted = tuple(trusted)
        self._header = header
        self._hop = _hop_of_forwarded if header == "Forwarded" else _hop_of_list
        self._read_cached = lru_cache(maxsize=_CACHED_ADDRESSES)(self._read)

    @classmethod
    def from_settings(cls, settings: Settings) -> ClientAddresses:
        """Return what the settings say about proxies."""
        networks = filter(None, map(str.strip, settings.trusted_proxies.split(",")))
        return cls([ip_network(network) for network in networks], settings.forwarded_header)

    def of(self, request: web.BaseRequest) -> str:
        """Return the address of the client, or its /64 network; "" if the peer has no address."""
        peer = request.remote or ""
        client = self._read_cached(peer)
        if client is None:
            return ""
        if client.is_trusted:
            hops = ",".join(request.headers.getall(self._header, ())).rsplit(",", _MOST_PROXIES)
            for hop in reversed(hops[-_MOST_PROXIES:]):
                text = self._hop(hop)
                address = self._read_cached(text) if len(text) <= _LONGEST_ADDRESS else None
                if address is None:  # what is before it was not written by a trusted proxy
                    break
                client = address
                if not client.is_trusted:
                    break
        return client.key

    def _read(self, text: str) -> _Address | None:
        """Parse an address, with or without a port; None if it is none."""
        if text.startswith("["):
            text = text[1:].partition("]")[0]
        elif text.count(":") == 1:
            text = text.partition(":")[0]
        try:
            address = ip_address(text)
        except ValueError:
            return None
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        trusted = any(address in network for network in self._trusted)
        if isinstance(address, IPv6Address):
            return _Address(str(ip_network((int(address), 64), strict=False)), trusted)
        return _Address(str(address), trusted)


def _hop_of_list(item: str) -> str:
    """Return the address in an item of ``X-Forwarded-For``."""
    return item.strip()


def _hop_of_forwarded(item: str) -> str:
    """Return the address in an item of ``Forwarded`` (RFC 7239 §4); "" if there is not one."""
    pairs = [pair.partition("=") for pair in item.split(";")]
    values = [value for name, _, value in pairs if name.strip().lower() == "for"]
    return values[0].strip().strip('"') if len(values) == 1 else ""
