"""Decide which addresses an ``http`` source may connect to.

Addresses are judged where the socket is made, so that what is judged is what is connected to: no
answer of a name server, and no spelling of an address, comes in between.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Any

Network = IPv4Network | IPv6Network

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All IPv6 addresses that are assigned. Outside are NAT64 and the spellings of IPv4 addresses."""
_NOT_PUBLIC = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments, of which Python calls some global
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    IPv6Network("2002::/16"),  # 6to4, which leads to the IPv4 address inside
    IPv6Network("3fff::/20"),  # for documentation
)
"""Networks that ``is_global`` accepts, at least in some versions of Python."""


class AddressRefusedError(OSError):
    """The address is not public, and the source does not allow its network.

    The text is the same for all addresses, because aiohttp then keeps the class of the exception
    where it has tried several.
    """

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the address is not allowed")


def is_allowed(host: str, networks: Iterable[Network]) -> bool:
    """Whether a source may connect to an address.

    Args:
        host: The address of a socket, which may end in the zone of a link-local address.
        networks: The networks that the source allows in addition to public addresses.
    """
    address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in networks):
        return True
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast


class GuardedSockets:
    """Makes the sockets of a connector.

    Args:
        networks: The networks that it allows in addition to public addresses.
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)

    def __call__(self, info: tuple[Any, ...]) -> socket.socket:
        """Return a socket for an entry of ``getaddrinfo``.

        Raises:
            AddressRefusedError: The address is not allowed.
        """
        family, type_, protocol, _, address = info
        if not is_allowed(address[0], self._networks):
            raise AddressRefusedError
        return socket.socket(family, type_, protocol)
