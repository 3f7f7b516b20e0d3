# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks whose machines are on several hosts: a star of links, one way outside, and one plan of addresses, decided for all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab import Lab, allot, near
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab_network import LabNetwork

_SWITCHES = ("switch", "hub")
_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh")
# By network, the address of each card: ``<machine>/<nic>``.
Addresses = dict[str, dict[str, str]]


class Ways:
    """How ssh reaches hosts, as the inventory has it.

    :param here: the host where the task runs; is_local: the play reaches it without ssh; become: the machines are another user's.
    """

    def __init__(self, hostvars: Any, *, here: str, is_local: bool, become: bool) -> None:
        self._hostvars, self._here, self._is_local, self._become = hostvars, here, is_local, become

    def to(self, host: str) -> dict[str, Any]:
        """``{ssh: destination, options: {…}}``; empty where the inventory does not say it."""
        known = self._hostvars[host]
        kind = str(known.get("ansible_connection") or "ssh").rpartition(".")[2]
        user, port, place = known.get("ansible_user"), known.get("ansible_port"), str(known.get("ansible_host") or host)
        # What leads a controller to itself leads another host to that one's self.
        becomes = self._become or boolean(known.get("ansible_become") or False, strict=False)
        if kind not in _SSH or _is_loopback(place) or (self._is_local and host == self._here) or becomes:
            return {}
        return {"ssh": f"{user}@{place}" if user else place, **({"options": {"Port": str(port)}} if port else {})}


def _is_loopback(place: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(place).is_loopback
    except ValueError:
        return place.rstrip(".").lower() in ("localhost", "localhost.localdomain", "ip6-localhost")


def _machine_of(card: str) -> str:
    return card.rpartition("/")[0]


class Spans:
    """
    :param here: the inventory's name of the host where the task runs.
    """

    def __init__(self, lab: Lab, here: str, ways: Ways) -> None:
        self.lab, self._here, self._ways = lab, here, ways
        self._hosts = {network.name: hosts for network in lab.networks.values() if len(hosts := self._names(network.hosts)) > 1}
        self._links: dict[str, dict[str, Any]] = {}

    def join(self) -> None:
        """Decide the links.

        :raises SpecError: no host of a network can be reached by the others, or links names none of the lab's.
        """
        everyone = self._names(self.lab.hosts)
        for network in self.lab.networks.values():
            for host in network.links:
                if host not in everyone and host != self._here:
                    raise SpecError(f"networks.{network.key}.links", f"{host!r} is no host of this lab", hint=near(host, everyone))
        for name in self._hosts:
            if self.lab.networks[name].driver in _SWITCHES:
                self._links[name] = self._star(self.lab.networks[name])

    def _star(self, network: LabNetwork) -> dict[str, Any]:
        """The center and its way, by one key. Which host it is depends on names alone: a host that is not visited this time has
        a link that leads the same way, so there is no circle."""
        hosts = self._hosts[network.name]
        ways = {host: way for host, way in network.links.items() if host in hosts} or {host: way for host in hosts if (way := self._ways.to(host))}
        if not ways:
            hint = f"Say how ssh reaches one of them as the machines' user: links: {{{hosts[0]}: {{ssh: user@address}}}}"
            raise SpecError(f"networks.{network.key}.links", f"the inventory has no address for ssh of {', '.join(hosts)}", hint=hint)
        center = min(ways)
        return {center: ways[center]}

    def unsettled(self, machines: Iterable[str]) -> list[str]:
        """Hosts that may know addresses of cards that the file gives none, on the networks of these machines."""
        chosen = set(machines)
        names = [name for name in self._hosts if any(not address for address in self.lab.addresses.get(name, {}).values())]
        names = [name for name in names if any(_machine_of(card) in chosen for card in self.lab.addresses[name])]
        return list(dict.fromkeys(host for name in names for host in self._hosts[name]))

    def settle(self, told: dict[str, Addresses]) -> dict[str, str]:
        """Give every card its address, but for the machines that are returned, with why: a host that tells nothing may have given theirs away.

        :param told: by host, what it knows. Of its own machines it knows best.
        """
        known = {name: self._known(name, told) for name in self._hosts}
        blocked: dict[str, str] = {}
        for name, hosts in self._hosts.items():
            silent = [host for host in hosts if host not in told]
            new = [card for card, address in self.lab.addresses.get(name, {}).items() if not address and card not in known[name]]
            if any(self._host_of(card) in silent for card in new):
                why = f"{', '.join(silent)} cannot say which addresses are taken on networks.{self.lab.networks[name].key}"
                blocked.update({_machine_of(card): why for card in new})
        self.lab = allot(self.lab, known)
        return blocked

    def _known(self, name: str, told: dict[str, Addresses]) -> dict[str, str]:
        known: dict[str, str] = {}
        for addresses in told.values():
            known = {**addresses.get(name, {}), **known}
        for card in self.lab.addresses.get(name, {}):
            own = told.get(self._host_of(card), {}).get(name, {})
            known.update({card: own[card]} if card in own else {})
        return known

    def _host_of(self, card: str) -> str:
        return self.lab.machines[_machine_of(card)].host or self._here

    def part(self, host: str) -> dict[str, dict[str, Any]]:
        """What a host is told of each such network that it is on."""
        return {name: self._part(name, host) for name, hosts in self._hosts.items() if host in hosts}

    def _part(self, name: str, host: str) -> dict[str, Any]:
        star, addresses = self._links.get(name), self.lab.addresses.get(name, {})
        part: dict[str, Any] = {"addresses": addresses} if all(addresses.values()) and addresses else {}
        if star is None:
            return part
        # Two ways outside on one segment would be two routers with one address.
        return {**part, **({"is_center": True} if host in star else {"links": star, "uplink": "none"})}

    def _names(self, hosts: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(host or self._here for host in hosts))
