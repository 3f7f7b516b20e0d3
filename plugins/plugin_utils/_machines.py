# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines as hosts of an inventory: their names, their variables, and how each is reached.

What a hypervisor says of its machines is data and no more: what goes into a connection is taken as an address or a port, or not at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..module_utils._errors import SpecError
from ..module_utils._spec.subnet import parse_address

if TYPE_CHECKING:
    from ._hypervisors import Hypervisors

LOCAL = "localhost"
# Neither can be a hypervisor.
OTHERS, NOBODY = "", "/"
WAYS = ("forward", "address", "agent")
# Networks whose addresses are of the hypervisor's own networks. Those of the others exist inside QEMU or between machines alone.
_OUTSIDE = ("bridge", "tap")
_TOLD = ("name", "uuid", "lab", "labels", "forwards", "networks", "addresses", "macs", "guest_agent", "sockets", "cid", "unit", "directory")


class Found(NamedTuple):
    """A machine, as ``maqet_vm_info`` tells of it briefly, and who runs it."""

    hypervisor: str
    machine: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.machine["name"])

    @property
    def place(self) -> str:
        """What tells it from all others. No name of a machine has a slash."""
        return f"{self.hypervisor}/{self.name}"


class Naming(NamedTuple):
    """Options: ``hypervisor_prefix`` and ``separator``; and who has the names that there are already.

    That is a machine's place, a hypervisor whose machine of that name it is, OTHERS for a host of another inventory source, or NOBODY.
    """

    prefix: str
    separator: str
    taken: dict[str, str]

    def full(self, item: Found) -> str:
        return f"{item.hypervisor}{self.separator}{item.name}"

    def is_taken(self, title: str, item: Found) -> bool:
        """By whatever is another host. This host's own machines are what other sources call so."""
        may = (item.place, item.hypervisor, OTHERS) if item.hypervisor == LOCAL else (item.place, item.hypervisor)
        return self.taken.get(title, item.place) not in may


def entitle(found: list[Found], naming: Naming) -> tuple[dict[str, Found], list[str], list[str]]:
    """The machines by their names in the inventory, warnings, and what is left out: two machines are never one host.

    :raises SpecError: a name is shared, and none may have a prefix.
    """
    counts = Counter(item.name for item in found)
    shared = {item.place for item in found if counts[item.name] > 1 or naming.is_taken(item.name, item)}
    longer = {naming.full(item) for item in found if item.place in shared}
    shared |= {item.place for item in found if item.name in longer}
    if shared and naming.prefix == "never":
        name = min(item.name for item in found if item.place in shared)
        raise SpecError("hypervisor_prefix", f"is never, and more than one host or group would be {name!r}", hint="Set auto or always, or rename the machine")
    titled = [(naming.full(item) if naming.prefix == "always" or item.place in shared else item.name, item) for item in found]
    titles = Counter(title for title, _item in titled)
    named, told, left = {}, defaultdict(list), []
    for title, item in titled:
        if naming.is_taken(title, item) or (titles[title] > 1 and item.hypervisor != LOCAL):
            left.append(f"{item.name} of {item.hypervisor} would be {title!r}, and so is another host called")
            continue
        named[title] = item
        if item.place in shared and naming.prefix == "auto":
            told[item.name].append(title)
    return named, [f"{name!r} is the name of more than one host or group: here {', '.join(all_of_it)}" for name, all_of_it in told.items()], left


def variables(item: Found) -> dict[str, Any]:
    told = {f"maqet_{key}": item.machine.get(key) for key in _TOLD}
    return {**told, "maqet_state": item.machine.get("status"), "maqet_hypervisor": item.hypervisor}


def groups(item: Found) -> Iterable[str]:
    """Their names, yet to be made safe."""
    yield "maqet_machines"
    if item.machine.get("status"):
        yield f"state_{item.machine['status']}"
    if item.machine.get("lab"):
        yield f"lab_{item.machine['lab']}"
    for key, value in (item.machine.get("labels") or {}).items():
        yield f"label_{key}_{value}"


class Ways:
    """
    :param order: what to try, of WAYS. port: where the guest's sshd listens.
    :param hypervisors: those that are asked over a connection; None when there are none.
    """

    def __init__(self, order: list[str], port: int, hypervisors: Hypervisors | None) -> None:
        self._order, self._port, self._hypervisors = order, port, hypervisors
        # Hypervisors whose machines would be reached by their agents, were these hosts known to a play.
        self.unknown: set[str] = set()

    def to(self, title: str, item: Found) -> dict[str, Any]:
        """The variables that lead to the machine by the first way there is."""
        tries = {"forward": self._forward, "address": self._address, "agent": self._agent}
        guest = {"maqet_guest_vm": item.name, "maqet_guest_hypervisor": item.hypervisor} if item.machine.get("guest_agent") else {}
        for word in self._order:
            found = tries[word](title, item)
            if found:
                return {**found, **guest, "maqet_connect": word}
        return {**guest, "maqet_connect": None}

    def _forward(self, title: str, item: Found) -> dict[str, Any]:
        for forward in item.machine.get("forwards") or ():
            if (forward.get("protocol"), forward.get("guest")) == ("tcp", self._port) and _is_port(forward.get("host")):
                found = self._listener(title, item.hypervisor, forward)
                if found:
                    return found
        return {}

    def _listener(self, title: str, name: str, forward: dict[str, Any]) -> dict[str, Any]:
        listen, port = _address(forward.get("listen")), forward["host"]
        if listen is None or listen.is_multicast:
            return {}
        loopback = "127.0.0.1" if listen.version == 4 else "::1"
        there = loopback if listen.is_unspecified else str(listen)
        hypervisors = self._hypervisors if name != LOCAL else None
        kind = hypervisors.kind(name) if hypervisors else "local"
        is_shut = hypervisors is not None and kind == "ssh" and hypervisors.is_behind_another(name)
        if hypervisors and kind == "ssh" and (listen.is_loopback or is_shut):
            # The host is its own name, not 127.0.0.1: by that and the port alone ssh would take the machines of two hypervisors for one.
            return {"ansible_host": title, "ansible_port": port, "ansible_ssh_common_args": hypervisors.through(name, there, port)}
        if kind == "local" or not (listen.is_loopback or listen.is_unspecified):
            return {"ansible_host": there, "ansible_port": port}
        return {"ansible_host": hypervisors.address(name), "ansible_port": port} if hypervisors and kind == "ssh" else {}

    def _address(self, title: str, item: Found) -> dict[str, Any]:
        networks = item.machine.get("networks") or {}
        for nic, said in (item.machine.get("addresses") or {}).items():
            address = _address(said)
            # A guest's card has none of this host's own.
            if address is not None and networks.get(nic) in _OUTSIDE and not (address.is_loopback or address.is_unspecified or address.is_multicast):
                return {"ansible_host": str(address), **({"ansible_port": self._port} if self._port != 22 else {})}
        return {}

    def _agent(self, title: str, item: Found) -> dict[str, Any]:
        """Of another host's machine ssh alone brings the socket here, and only as the user who logs in."""
        if not item.machine.get("guest_agent"):
            return {}
        if item.hypervisor != LOCAL:
            if not (self._hypervisors and self._hypervisors.is_plain_ssh(item.hypervisor)):
                return {}
            if not self._hypervisors.is_in_plays(item.hypervisor):
                self.unknown.add(item.hypervisor)
                return {}
        return {"ansible_connection": "maqet.qemu.maqet_guest"}


def _is_port(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= 65535


def _address(word: Any) -> Any:
    """Without a zone: Python takes any text for one, and it would become part of a command."""
    try:
        address = parse_address(word) if isinstance(word, str) else None
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
