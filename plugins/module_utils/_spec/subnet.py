# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses of a subnet that are not machines' own."""

from __future__ import annotations

# libslirp's DHCP server has that many to give away (NB_BOOTP_CLIENTS).
GUESTS = 16


def gateway_of(subnet: str, gateway: str = "") -> str:
    """The router: the first address unless another is said."""
    import ipaddress

    return gateway or str(ipaddress.ip_network(subnet)[1])


def dns_of(subnet: str, dns: str = "") -> str:
    """The name server: the second address unless another is said."""
    import ipaddress

    return dns or str(ipaddress.ip_network(subnet)[2])


def dhcp_start(subnet: str) -> str:
    """From here on the uplink gives addresses to machines that ask it: the last sixteen, in a small subnet its upper half."""
    import ipaddress

    network = ipaddress.ip_network(subnet)
    return str(network[-1 - min(GUESTS, network.num_addresses // 2 - 1)])
