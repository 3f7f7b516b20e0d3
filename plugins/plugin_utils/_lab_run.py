# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which host does what of a lab, when, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._plan.lab import chosen, waves
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab import compile_lab, places
from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_result import Merged
from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_span import Spans, Ways


class LabRun:
    """
    :param arguments: the task's.
    :param here: the inventory's name of the host where the task runs; hostvars: of all hosts.
    :param is_local: the play's connection is ``local``; become: the task becomes another user.
    :raises SpecError: the lab is wrong, or names a host that the inventory has not.
    """

    def __init__(self, arguments: dict[str, Any], *, here: str, hostvars: Any, is_local: bool = False, become: bool = False) -> None:
        self.lab, self._here = compile_lab(arguments["definition"]), here
        self.hosts = list(dict.fromkeys(self._place(host) for host in self.lab.hosts))
        self._check_hosts(arguments["definition"], hostvars)
        limit, state = arguments.get("limit") or [], arguments.get("state") or "started"
        names = chosen(self.lab, limit if isinstance(limit, list) else str(limit).split(","), ()) if limit else set(self.lab.machines)
        self._waves = waves(self.lab, state, names, lambda machine: self._place(machine.host))
        if not limit and (arguments.get("prune") or state == "absent"):
            self._visit_all()
        self._merged, self._turn = Merged(self.lab.name), {}  # type: Merged, dict[str, list[str]]
        self._spans = Spans(self.lab, here, Ways(hostvars, here=here, is_local=is_local, become=become))
        self._is_absent, self._blocked = state == "absent", {}  # type: bool, dict[str, str]
        if state in ("started", "present"):
            self._spans.join()

    def _check_hosts(self, definition: dict[str, Any], hostvars: Any) -> None:
        """A profile that no machine has may name any."""
        used = {machine.host: f"vms.{machine.key}" for machine in self.lab.machines.values()}
        named: dict[Any, str] = {}
        for path, source in places(definition):
            named.setdefault((source or {}).get("host"), path)
        for host in [host for host in self.hosts if host and host not in hostvars]:
            path = used.get(host, named.get(host, ""))
            if not path.startswith("profiles."):
                raise SpecError(f"{path}.host", f"{host!r} is no host of the inventory", hint="Add it there, or see where it is misspelt")
            self.hosts.remove(host)

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

    def questions(self) -> dict[str, dict[str, Any]]:
        """More arguments of the module by host, where hosts must be asked first which addresses they know; :meth:`hear` takes the results."""
        hosts = [] if self._is_absent else self._spans.unsettled(name for wave in self._waves for names in wave.values() for name in names)
        return {self._place(host): {"hosts": list(self.names_of(self._place(host))), "recall": True} for host in hosts}

    def hear(self, results: dict[str, dict[str, Any]]) -> None:
        for host in [host for host, result in results.items() if "addresses" not in result and any(host in wave for wave in self._waves)]:
            self._merged.lose(host, results[host])
        self._blocked = self._spans.settle({host or self._here: result["addresses"] for host, result in results.items() if "addresses" in result})

    def turns(self) -> Iterator[dict[str, dict[str, Any]]]:
        """More arguments of the module by host, for each run side by side; :meth:`add` takes the results before the next."""
        for wave in self._waves:
            for host, names in wave.items():
                for name in names:
                    if host in self._merged.lost:
                        self._merged.fail(name, host, *self._merged.lost[host])
                    elif name in self._blocked:
                        self._merged.fail(name, host, self._blocked[name], "HostError")
            self._turn = {host: [name for name in names if name not in self._blocked] for host, names in wave.items() if host not in self._merged.lost}
            if self._turn:
                ends = dict(self._merged.ends)
                yield {
                    host: {"hosts": list(self.names_of(host)), "wave": names, "elsewhere": ends, "span": self._spans.part(host or self._here)}
                    for host, names in self._turn.items()
                }

    def add(self, results: dict[str, dict[str, Any]]) -> None:
        for host, result in results.items():
            self._merged.add(host, self._turn[host], result)

    def result(self) -> dict[str, Any]:
        return self._merged.result(list(self.lab.machines))
