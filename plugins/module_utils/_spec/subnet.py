# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses of a subnet: its hosts', and those that are not machines' own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

# libslirp's DHCP server has that many to give away (NB_BOOTP_CLIENTS), and knows no other end.
GUESTS = 16


def parse_address(text: str) -> Any:
    """
    :raises ValueError: it is none, or has a zone (``%eth0``), which is a name of one host.
    """
    import ipaddress

    if "%" in text:
        raise ValueError(text)
    return ipaddress.ip_address(text)


@lru_cache(maxsize=256)
def parse_subnet(text: str) -> Any:
    """
    :raises ValueError: it is none, or has no prefix.
    """
    import ipaddress

    if "/" not in text:
        raise ValueError(text)
    return ipaddress.ip_network(text)


def room(subnet: Any) -> int:
    """How many hosts it has room for."""
    hosts: int = subnet.num_addresses
    if hosts <= 2:
        return hosts
    return hosts - (2 if subnet.version == 4 else 1)


def first(subnet: Any) -> int:
    return int(subnet.network_address) + (1 if subnet.num_addresses > 2 else 0)


def nth(subnet: Any, position: int) -> str:
    """The host's address at a position, counted from 0."""
    return str(type(subnet.network_address)(first(subnet) + min(position, room(subnet) - 1)))


def is_host(address: Any, subnet: Any) -> bool:
    """Whether the address can be a host's there."""
    return address.version == subnet.version and 0 <= int(address) - first(subnet) < room(subnet)


def gateway_of(subnet: str, gateway: str = "") -> str:
    """The router: the first address unless another is said."""
    return gateway or str(parse_subnet(subnet)[1])


def dns_of(subnet: str, dns: str = "") -> str:
    """The name server: the second address unless another is said."""
    return dns or str(parse_subnet(subnet)[2])


def dhcp_start(subnet: str, *taken: str) -> str:
    """From here on the uplink gives sixteen addresses to machines that ask it: the last ones before whoever of ``taken`` is among
    them. Where the subnet has no such sixteen they begin in its middle, and lead beyond it."""
    network = parse_subnet(subnet)
    usual = int(network[-1 - min(GUESTS, network.num_addresses // 2 - 1)])
    start, others = usual, sorted((int(parse_address(word)) for word in taken), reverse=True)
    for other in others:
        start = other - GUESTS if start <= other < start + GUESTS else start
    if start <= int(network.network_address):
        start = next(place for place in range(usual, usual + GUESTS) if place not in others)
    return str(type(network.network_address)(start))
