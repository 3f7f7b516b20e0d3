# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab file compiled: its networks, and each of its machines in a machine's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from typing import Any, NamedTuple

from .._errors import SpecError
from .given import given
from .lab_arguments import LAB
from .lab_network import Cards, LabNetwork, Owner, allotted, check_overlaps, network_of
from .lab_order import dependencies
from .merge import merge
from .name import NAME_EXPECTS, NAME_PATTERN
from .taken import taken

READY_TIMEOUT = 300.0
# Of one key: a typing error is not to fill the memory with machines' names.
MOST = 10000
_TIMES = ("ready_timeout", "timeout", "shutdown_timeout")


class LabMachine(NamedTuple):
    """
    :param key: of the file; short: the same, with its number where there is a count; name: the whole name;
        hostname: what the guest calls itself, and its neighbours call it.
    :param host: the inventory's name of the hypervisor; empty: where the task runs.
    :param raw: its declaration, as ``maqet_vm`` takes it.
    :param depends_on: whole names; ready: the conditions under which it counts as ready; the time-outs are in seconds.
    """

    key: str
    name: str
    host: str
    raw: dict[str, Any]
    depends_on: tuple[str, ...] = ()
    ready: tuple[dict[str, Any], ...] = ()
    ready_timeout: float = READY_TIMEOUT
    timeout: float | None = None
    shutdown_timeout: float | None = None
    hostname: str = ""
    short: str = ""


class Lab(NamedTuple):
    """
    :param machines: by whole name, in the order of the file; networks: by whole name.
    :param addresses: by network's name, of each card on one that has a subnet: ``<machine>/<nic>``, and its address,
        which is empty until :func:`allot` gave it one.
    :param hosts: all that the file names: first those of its machines, also where there are none (``count: 0``), then those that
        are named for any that might come, in ``defaults`` and ``profiles``.
    """

    name: str
    machines: dict[str, LabMachine]
    networks: dict[str, LabNetwork]
    addresses: dict[str, dict[str, str]]
    hosts: tuple[str, ...] = ()


def merge_definitions(definitions: list[dict[str, Any]]) -> dict[str, Any]:
    """Several files as one, each over those before it. Paths are left as they are: they are of the hosts."""
    files = [(definition, taken(definition, LAB, here=False)) for definition in definitions]
    return reduce(lambda before, file: _merge_two(_without(before, file[0]), file[1]), files, {})


def _without(before: dict[str, Any], definition: dict[str, Any]) -> dict[str, Any]:
    """What is left of the files before, where a file says null: the name alone, of a network, a profile or an image. Of machines it
    takes nothing away: they have data, and a file whose last machine was commented out says null."""
    kept = {name: value for name, value in before.items() if name == "vms" or definition.get(name, value) is not None}
    for name in ("profiles", "images", "networks"):
        gone = {str(key) for key, value in (definition.get(name) or {}).items() if value is None}
        if gone and kept.get(name):
            kept[name] = {key: value for key, value in kept[name].items() if key not in gone}
    return kept


def _merge_two(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    merged = merge({name: value for name, value in before.items() if name not in ("defaults", "profiles", "vms")}, after)
    if before.get("defaults"):
        merged["defaults"] = merge(before["defaults"], after.get("defaults") or {})
    for name in ("profiles", "vms"):
        old, new = before.get(name) or {}, after.get(name) or {}
        if old:
            merged[name] = {**old, **{key: merge(old.get(key, {}), value) for key, value in new.items()}}
    return merged


def compile_lab(definition: dict[str, Any]) -> Lab:
    """
    :raises SpecError: naming the place in the file.
    """
    file = {key: value for key, value in taken(definition, LAB).items() if value is not None}
    if "lab" not in file:
        raise SpecError("lab", "is missing", hint="Name the lab, such as lab: shop")
    name = _check_name("lab", file["lab"], file["lab"])
    _check_waiting(file)
    networks = {key: network_of(name, key, network) for key, network in file.get("networks", {}).items()}
    check_overlaps(networks)
    vms = {key: _Vm(file, key) for key in file.get("vms", {})}
    order = dependencies(file.get("vms", {}), {key: vm.names for key, vm in vms.items()})
    cards = Cards(networks)
    machines: dict[str, LabMachine] = {}
    for key, vm in vms.items():
        for machine in vm.machines(cards, order[key]):
            if machine.name in machines:
                other = machines[machine.name].key
                raise SpecError(f"vms.{key}", f"is called {machine.name}, as one of vms.{other} is", hint="Give it another key or name")
            machines[machine.name] = machine
    hosts = [*(vm.own.get("host", "") for vm in vms.values()), *(source.get("host") for _path, source in places(file))]
    return Lab(name, machines, *cards.done(), tuple(dict.fromkeys(host for host in hosts if host is not None)))


def places(file: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where the file says what machines are: the path of each place, and what is there."""
    yield "defaults", file.get("defaults") or {}
    for place in ("profiles", "vms"):
        for name, source in (file.get(place) or {}).items():
            yield f"{place}.{name}", source


def _check_waiting(file: dict[str, Any]) -> None:
    """What is stored with no machine: that a machine is as it was says nothing of it."""
    for path, source in places(file):
        for name in _TIMES:
            if source.get(name) is not None and source[name] < 0:
                raise SpecError(f"{path}.{name}", f"{source[name]:g} is not allowed", hint="Use seconds")
        if source.get("ready"):
            from .condition import check_conditions, typed

            source["ready"] = typed(source["ready"])
            check_conditions(source["ready"], f"{path}.ready")


def allot(lab: Lab, known: dict[str, dict[str, str]]) -> Lab:
    """The lab with an address for each card on a network that has a subnet.

    :param known: the addresses that were allotted before, by network's name and then as in :class:`Lab`. They are kept.
    """
    addresses = {name: allotted(lab.networks[name], cards, known.get(name, {})) for name, cards in lab.addresses.items()}
    places = {card: (lab.networks[name], address) for name, cards in addresses.items() for card, address in cards.items()}
    machines = {name: _addressed(machine, places) for name, machine in lab.machines.items()} if places else lab.machines
    return lab._replace(machines=machines, addresses=addresses)


def _addressed(machine: LabMachine, places: dict[str, tuple[LabNetwork, str]]) -> LabMachine:
    cards, routed = [], any(card.get("gateway") for card in machine.raw.get("nics", ()))
    for card in machine.raw.get("nics", ()):
        place = f"{machine.name}/{card['name']}"
        if place not in places:
            cards.append(card)
            continue
        network, address = places[place]
        more: dict[str, Any] = {"address": f"{address}/{network.subnet.rpartition('/')[2]}"}
        # One way out is enough: a guest with two takes either.
        if network.gateway not in ("", address) and not routed:
            more["gateway"], routed = network.gateway, True
        if network.servers and not card.get("dns"):
            more["dns"] = list(network.servers)
        cards.append({**card, **more})
    return machine._replace(raw={**machine.raw, "nics": cards}) if cards else machine


def neighbours(lab: Lab) -> dict[str, dict[str, str]]:
    """By network's name, the addresses of the machines on it by the names that others know them by: as the file does, which is sure
    to name one alone, and as the guest calls itself."""
    found: dict[str, dict[str, str]] = {name: {} for name in lab.addresses}
    cards = [(found[name], lab.machines[card.rpartition("/")[0]], address) for name, cards in lab.addresses.items() for card, address in cards.items()]
    for known, machine, address in cards:
        if machine.short == machine.key:
            known.setdefault(machine.key, address)
    for known, machine, address in cards:
        known.setdefault(machine.short, address)
    for known, machine, address in cards:
        for word in (_told(machine.hostname), machine.hostname):
            known.setdefault(word, address)
    return found


def _told(hostname: str) -> str:
    """As a guest can call itself."""
    return re.sub("[^A-Za-z0-9.-]", "-", hostname).strip("-.")


def _check_name(path: str, value: str, whole: str) -> str:
    if not re.match(NAME_PATTERN, value) or value.endswith("\n"):
        raise SpecError(path, f"{value!r} cannot be a name", hint=f"Use {NAME_EXPECTS}")
    if len(whole) > 63:
        raise SpecError(path, f"the whole name {whole} has {len(whole)} characters, and 63 are the most", hint="Use a shorter one")
    return whole


class _Vm:
    """One key of ``vms``: its options from all the places where they are written."""

    def __init__(self, file: dict[str, Any], key: str) -> None:
        self.file, self.key, self.lab = file, key, file["lab"]
        self.sources = list(_sources(file, key))
        merged: dict[str, Any] = reduce(merge, (source for _path, source in self.sources), {})
        self.own = {name: value for name, value in merged.items() if value is not None}
        self.raw = given(merged)
        self.names = self._names()

    def _names(self) -> list[str]:
        path, named = f"vms.{self.key}", self.own.get("name")
        whole = _check_name(f"{path}.name", named, named) if named else _check_name(path, self.key, f"{self.lab}-{self.key}")
        count, self._whole = self.own.get("count"), whole
        if count is None:
            return [whole]
        if not 0 <= count <= MOST:
            raise SpecError(f"{path}.count", f"{count} is not allowed", hint=f"Use how many there are, from 0 to {MOST}")
        return [_check_name(f"{path}.count", self.key, f"{whole}-{number}") for number in range(1, count + 1)]

    def machines(self, cards: Cards, depends_on: tuple[str, ...]) -> Iterator[LabMachine]:
        common, own, host = self._common(), self.own, self.own.get("host", "")
        own_network = self.raw.get("cloud_init", {}).get("network_config") is not None
        ready, times = tuple(own.get("ready", ())), (own.get("ready_timeout", READY_TIMEOUT), own.get("timeout"), own.get("shutdown_timeout"))
        for name in self.names:
            hostname = name[len(self.lab) + 1 :] if name.startswith(f"{self.lab}-") else name
            raw, short = dict(common), self.key + name[len(self._whole) :]
            if "nics" in raw:
                owner = Owner(name, host, own_network, self.where)
                raw["nics"] = [cards.connect(card, owner) for card in raw["nics"]]
            if "cloud_init" in raw or any(card.get("address") or f"{name}/{card['name']}" in cards.places for card in raw.get("nics", ())):
                raw = _with_hostname(raw, hostname)
            yield LabMachine(self.key, name, host, raw, depends_on, ready, *times, hostname, short)

    def _common(self) -> dict[str, Any]:
        """What all machines of this key have alike."""
        known = self.file.get("images", {})
        used = {disk.get("image") for disk in self.raw.get("disks", ())}
        images = [{"name": name, **source} for name, source in known.items() if name in used]
        labels = {**self.file.get("labels", {}), **self.own.get("labels", {}), "lab": self.lab}
        common = {**self.raw, "labels": {name: value for name, value in labels.items() if value is not None}}
        return given(merge({"images": images}, common)) if images else common

    def where(self, nic: str, option: str) -> str:
        """The place in the file where a card's option is written."""
        for path, source in reversed(self.sources):
            if any(card["name"] == nic and card.get(option) is not None for card in source.get("nics") or ()):
                return f"{path}.nics[{nic}].{option}"
        return f"vms.{self.key}.nics[{nic}].{option}"


def _sources(file: dict[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    defaults, profiles, vm = file.get("defaults", {}), file.get("profiles", {}), file["vms"][key]
    yield "defaults", defaults
    path, holder = (f"vms.{key}", vm) if "profile" in vm else ("defaults", defaults)
    for name in holder.get("profile") or ():
        if name not in profiles:
            raise SpecError(f"{path}.profile", f"{name!r} is no profile of this lab", hint=near(name, profiles))
        yield f"profiles.{name}", profiles[name]
    yield f"vms.{key}", vm


def near(word: str, known: Any) -> str:
    """What was probably meant."""
    from .validate import nearest

    return nearest(word, list(known)) if known else "The lab has none"


def _with_hostname(raw: dict[str, Any], hostname: str) -> dict[str, Any]:
    cloud_init = raw.get("cloud_init", {})
    meta = cloud_init.get("meta_data", {})
    if not isinstance(meta, dict):
        return raw
    return {**raw, "cloud_init": {**cloud_init, "meta_data": {"local-hostname": _told(hostname), **meta}}}
