# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The address that a guest gives its card, told to it by its seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .option import Option
from .subnet import parse_address

# QEMU's user-mode network: its subnet, its gateway, its name server (QEMU's default addresses; the guest has no say in them).
_USER = {4: ("10.0.2.0/24", "10.0.2.2", "10.0.2.3"), 6: ("fec0::/64", "fec0::2", "fec0::3")}

OPTIONS = (
    Option("address", expects="an address and its prefix, such as 192.168.7.10/24"),
    Option("gateway", expects="an address of a router, such as 192.168.7.1"),
    Option("dns", "list"),
)


def check(name: str, nic: dict[str, Any]) -> Iterator[SpecError]:
    import ipaddress

    path = f"nics[{name}]"
    if not nic["address"]:
        for key in ("gateway", "dns"):
            if nic[key]:
                yield SpecError(f"{path}.{key}", "is used only together with address", hint="Add address, or leave it out and let DHCP say it")
        return
    user = nic["network"] == "user"
    try:
        if ("/" not in nic["address"] and not user) or "%" in nic["address"]:
            raise ValueError
        own = ipaddress.ip_interface(static(nic)["address"])
    except ValueError:
        yield SpecError(f"{path}.address", f"{nic['address']!r} is no address with its prefix", hint="Such as 192.168.7.10/24 or fd00::10/64")
        return
    if user:
        subnet, *taken = _USER[own.version]
        if own.ip not in ipaddress.ip_network(subnet) or str(own.ip) in taken:
            yield SpecError(f"{path}.address", f"{own.ip} is no address for a guest on network: user", hint=f"Use a free one of {subnet}, such as {_free(own)}")
    if own.version == 4 and own.ip in (own.network.network_address, own.network.broadcast_address) and own.network.prefixlen < 31:
        yield SpecError(f"{path}.address", f"{own.ip} is no host's address in {own.network}", hint="Use another")
    yield from _check_others(path, nic, own.network)


def _check_others(path: str, nic: dict[str, Any], subnet: Any) -> Iterator[SpecError]:
    """The router, which is in the card's own network, and the name servers."""
    for key, value in [("gateway", nic["gateway"]), *(("dns", word) for word in nic["dns"])]:
        if not value:
            continue
        try:
            other = parse_address(value)
        except ValueError:
            yield SpecError(f"{path}.{key}", f"{value!r} is no IP address", hint="Such as 192.168.7.1")
            continue
        if key == "gateway" and other not in subnet and not other.is_link_local:
            yield SpecError(f"{path}.gateway", f"{value} is not in {subnet}, where address is", hint="Use the router of that network")


def _free(own: Any) -> str:
    return "10.0.2.20" if own.version == 4 else "fec0::20"


def static(nic: dict[str, Any]) -> dict[str, Any]:
    """``address`` with its prefix, ``gateway`` (or None) and ``dns`` of a card that has an address of its own."""
    version = 6 if ":" in nic["address"] else 4
    subnet, gateway, dns = _USER[version] if nic["network"] == "user" else ("", None, None)
    address = nic["address"] if "/" in nic["address"] else f"{nic['address']}/{subnet.rpartition('/')[2]}"
    return {"address": address, "gateway": nic["gateway"] or gateway, "dns": nic["dns"] or ([dns] if dns else [])}
