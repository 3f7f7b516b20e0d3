# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which host does what of a lab, when, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._plan.lab import chosen, waves
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab import compile_lab
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab_network import LabNetwork
from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_result import Merged


class LabRun:
    """
    :param arguments: the task's.
    :param here: the inventory's name of the host where the task runs; hostvars: of all hosts.
    :raises SpecError: the lab is wrong, or names a host that the inventory has not.
    """

    def __init__(self, arguments: dict[str, Any], *, here: str, hostvars: Any) -> None:
        self.lab, self._here, self._hostvars = compile_lab(arguments["definition"]), here, hostvars
        self.hosts = list(dict.fromkeys(self._place(host) for host in self.lab.hosts))
        for host in filter(None, self.hosts):
            if host not in hostvars:
                key = next((machine.key for machine in self.lab.machines.values() if machine.host == host), "")
                raise SpecError(f"vms.{key}.host" if key else "host", f"{host!r} is no host of the inventory", hint="Add it there, or see where it is misspelt")
        limit, state = arguments.get("limit") or [], arguments.get("state") or "started"
        names = chosen(self.lab, limit if isinstance(limit, list) else str(limit).split(","), ()) if limit else set(self.lab.machines)
        self._waves = waves(self.lab, state, names, lambda machine: self._place(machine.host))
        if not limit and (arguments.get("prune") or state == "absent"):
            self._visit_all()
        self._merged, self._turn = Merged(self.lab.name), {}  # type: Merged, dict[str, list[str]]
        self._links: dict[str, dict[str, Any]] = {}
        for network in self.lab.networks.values():
            if network.driver in ("switch", "hub") and state != "absent":
                self._join(network)

    @property
    def is_here_alone(self) -> bool:
        return self.hosts == [""]

    def _place(self, host: str) -> str:
        """A host's name; empty where the task runs."""
        return "" if host == self._here else host

    def names_of(self, host: str) -> tuple[str, ...]:
        """What the lab file calls it."""
        return (host,) if host else ("", self._here)

    def _visit_all(self) -> None:
        """Hosts too that have machines of the lab no more."""
        self._waves = self._waves or [{}]
        for host in self.hosts:
            if not any(host in wave for wave in self._waves):
                self._waves[0][host] = []

    def turns(self) -> Iterator[dict[str, dict[str, Any]]]:
        """More arguments of the module by host, for each run side by side; :meth:`add` takes the results before the next."""
        for wave in self._waves:
            for host, names in wave.items():
                for name in names if host in self._merged.lost else ():
                    self._merged.fail(name, host)
            self._turn = {host: names for host, names in wave.items() if host not in self._merged.lost}
            if self._turn:
                ends = dict(self._merged.ends)
                yield {
                    host: {"hosts": list(self.names_of(host)), "wave": names, "elsewhere": ends, "links": self._links.get(host, {})}
                    for host, names in self._turn.items()
                }

    def add(self, results: dict[str, dict[str, Any]]) -> None:
        for host, result in results.items():
            self._merged.add(host, self._turn[host], result)

    def result(self) -> dict[str, Any]:
        return self._merged.result(list(self.lab.machines))

    def _join(self, network: LabNetwork) -> None:
        """The network's switches to that of the first host that others can reach."""
        hosts = list(dict.fromkeys(self._place(host) for host in network.hosts))
        if len(hosts) < 2:
            return
        said = {self._place(host): way for host, way in network.links.items()}
        ways = {host: said.get(host) or self._destination(host) for host in hosts}
        center = next((host for host in hosts if ways[host]), None)
        if center is None:
            names = [host or self._here for host in hosts]
            hint = f"Say how ssh reaches one of them: links: {{{names[0]}: {{ssh: user@address}}}}"
            raise SpecError(f"networks.{network.key}.links", f"the inventory has no address for ssh of {', '.join(names)}", hint=hint)
        for host in hosts:
            if host != center:
                self._links.setdefault(host, {})[network.name] = {center or self._here: ways[center]}

    def _destination(self, host: str) -> dict[str, Any]:
        """How ssh reaches a host, as the inventory has it; empty where that says no address."""
        known = self._hostvars[host or self._here]
        kind = str(known.get("ansible_connection") or "ssh").rpartition(".")[2]
        if kind not in ("ssh", "smart", "paramiko", "paramiko_ssh"):
            return {}
        user, port = known.get("ansible_user"), known.get("ansible_port")
        place = str(known.get("ansible_host") or host or self._here)
        return {"ssh": f"{user}@{place}" if user else place, **({"options": {"Port": str(port)}} if port else {})}
