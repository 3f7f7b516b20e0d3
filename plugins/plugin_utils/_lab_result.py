# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One result of a lab out of those that its hosts gave."""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible_collections.maqet.qemu.plugins.module_utils._plan.lab import failure, summary


class Lost(NamedTuple):
    """A host that did nothing: why, and the error's kind."""

    why: str
    kind: str


def refusal(results: dict[str, dict[str, Any]], hosts: list[str]) -> dict[str, Any] | None:
    """The one answer of all hosts of the lab, where each refuses the task in the same words: it is the task that is wrong."""
    refused = [result for result in results.values() if result.get("failed") and "vms" not in result and not result.get("unreachable")]
    alike = len({str(result.get("msg")) for result in refused}) == 1
    return refused[0] if alike and len(refused) == len(results) and set(results) == set(hosts) else None


class Merged:
    """:param ends: of each machine that had its turn, why those that depend on it cannot go on, or ""."""

    def __init__(self, lab: str) -> None:
        self.lab, self.changed, self.planned = lab, False, False
        self.ends: dict[str, str] = {}
        self.vms: dict[str, dict[str, Any]] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        self.diffs: list[Any] = []
        self.warnings: list[Any] = []
        self.lost: dict[str, Lost] = {}
        self._told: set[tuple[str, str]] = set()

    def add(self, host: str, names: list[str], result: dict[str, Any]) -> None:
        """
        :param names: the machines whose turn it was.
        """
        self.warnings += [words for words in result.get("warnings") or [] if words not in self.warnings]
        if "vms" not in result:
            self.lose(host, result)
            for name in names:
                self.fail(name, host, *self.lost[host])
            return
        self.changed = self.changed or bool(result.get("changed"))
        self.planned = self.planned or bool(result.get("planned"))
        self._add_diffs(host, result)
        self.ends.update(result.get("ends") or {})
        for name, vm in result["vms"].items():
            known = self.vms.get(name)
            if known is None or vm["result"] == "failed" or (name in names and known["result"] != "failed"):
                self.vms[name] = {**vm, "host": host or None}
        for name, network in result["networks"].items():
            key = name if self.networks.get(name, {"host": host or None})["host"] == (host or None) else f"{name}@{host}"
            if key not in self.networks or self.networks[key]["result"] == "unchanged":
                self.networks[key] = {**network, "host": host or None}

    def _add_diffs(self, host: str, result: dict[str, Any]) -> None:
        """Without those that this host has told before: what a turn only plans, the next one plans again."""
        whose, known = "", set(self._told)
        for part in result.get("diff") or ():
            whose = part.get("before_header", whose)
            if (host, whose) not in known and not _is_summary(part, self.lab):
                self.diffs.append(part)
                self._told.add((host, whose))

    def lose(self, host: str, result: dict[str, Any]) -> None:
        """The host did nothing: it cannot be reached, or refused the task."""
        said = str(result.get("msg") or "it does not say why").strip().removeprefix("Task failed: ")
        what = "cannot be reached" if result.get("unreachable") else "failed"
        kind = "UnreachableError" if result.get("unreachable") else "HostError"
        self.lost[host] = Lost(f"{host or 'the host of the task'} {what}: {said}", kind)

    def fail(self, name: str, host: str, why: str, kind: str) -> None:
        """A machine to which nothing was done.

        :param kind: the error's name.
        """
        error = {"msg": why, "error": kind, "hint": ""}
        self.vms[name] = {"result": "failed", "actions": [], "pending_restart": [], "vm": {"status": "unknown"}}
        self.vms[name].update(ready=None, addresses=[], skipped=None, error=error)
        self.vms[name]["host"], self.ends[name] = host or None, why

    def result(self, order: list[str]) -> dict[str, Any]:
        """As the module's own."""
        vms = {name: self.vms[name] for name in [*order, *sorted(set(self.vms) - set(order))] if name in self.vms}
        said = summary(vms, check=self.planned, networks=self.networks)
        result = {
            "changed": self.changed,
            "lab": self.lab,
            "summary": said,
            "planned": self.planned,
            "vms": vms,
            "networks": self.networks,
            "warnings": self.warnings,
        }
        result["diff"] = [*self.diffs, {"prepared": f"{self.lab}: {said}\n"}] if self.diffs else []
        lost = [why for host, (why, _kind) in self.lost.items() if not any(vm["host"] == (host or None) for vm in vms.values())]
        words = "\n".join(filter(None, (failure(self.lab, vms, self.networks), *lost)))
        return {**result, "failed": True, "msg": words} if words else result


def _is_summary(part: Any, lab: str) -> bool:
    return isinstance(part, dict) and set(part) == {"prepared"} and str(part["prepared"]).startswith(f"{lab}: ")
