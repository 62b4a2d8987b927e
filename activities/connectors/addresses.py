"""Which addresses may be sent to: not those of the network that Baton itself is in."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from activities.connectors.connector import Refused, TryAgain

_EMBEDS_IPV4 = IPv6Network("64:ff9b::/96")
"""NAT64: the last four bytes are an address of the old kind."""


async def addresses_of(host: str, port: int, *, private: bool) -> list[str]:
    """The host's addresses, the best first; who connects to one, and not to the name, cannot be sent elsewhere.

    Raises ``Refused`` where one of its addresses is not public, unless ``private`` ones are allowed, and ``TryAgain``
    where the name has none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TryAgain(f"The name {host} cannot be found.") from error
    except UnicodeError as error:
        raise Refused(f"{host} is no name of a host.") from error
    addresses = [str(each[4][0]) for each in found]
    if not private:
        for address in addresses:
            if not is_public(address):
                raise Refused(f"{host} is an address of a private network, to which nothing is sent.")
    return list(dict.fromkeys(addresses))


def is_public(address: str) -> bool:
    """Whether anybody on the Internet could reach the address; false for what only this machine or network can."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        inner = _inner(parsed)
        if inner is not None:
            parsed = inner
    return parsed.is_global and not parsed.is_multicast


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The address of the old kind that one of the new kind stands for."""
    if address in _EMBEDS_IPV4:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour
