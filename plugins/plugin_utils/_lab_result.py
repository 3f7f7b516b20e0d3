# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One result of a lab out of those that its hosts gave."""

from __future__ import annotations

from typing import Any

from ansible_collections.maqet.qemu.plugins.module_utils._plan.lab import failure, summary


class Merged:
    """:param ends: of each machine that had its turn, why those that depend on it cannot go on, or ""."""

    def __init__(self, lab: str) -> None:
        self.lab, self.changed, self.planned = lab, False, False
        self.ends: dict[str, str] = {}
        self.vms: dict[str, dict[str, Any]] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        self.diffs: list[Any] = []
        self.warnings: list[Any] = []
        self.lost: dict[str, str] = {}

    def add(self, host: str, names: list[str], result: dict[str, Any]) -> None:
        """
        :param names: the machines whose turn it was.
        """
        self.warnings += result.get("warnings") or []
        if "vms" not in result:
            self._lose(host, names, result)
            return
        self.changed = self.changed or bool(result.get("changed"))
        self.planned = self.planned or bool(result.get("planned"))
        self.diffs += [part for part in result.get("diff") or () if not _is_summary(part, self.lab)]
        self.ends.update(result.get("ends") or {})
        for name, vm in result["vms"].items():
            known = self.vms.get(name)
            if known is None or vm["result"] == "failed" or (name in names and known["result"] != "failed"):
                self.vms[name] = {**vm, "host": host or None}
        for name, network in result["networks"].items():
            key = name if self.networks.get(name, {"host": host or None})["host"] == (host or None) else f"{name}@{host}"
            if key not in self.networks or self.networks[key]["result"] == "unchanged":
                self.networks[key] = {**network, "host": host or None}

    def _lose(self, host: str, names: list[str], result: dict[str, Any]) -> None:
        """The host did nothing: it cannot be reached, or refused the task."""
        kind = "UnreachableError" if result.get("unreachable") else "HostError"
        said = str(result.get("msg") or "it does not say why").strip().removeprefix("Task failed: ")
        self.lost[host] = f"{host or 'the host of the task'} {'cannot be reached' if result.get('unreachable') else 'failed'}: {said}"
        for name in names:
            self.fail(name, host, kind)

    def fail(self, name: str, host: str, kind: str = "HostError") -> None:
        """One on a host that was lost."""
        error = {"msg": self.lost[host], "error": kind, "hint": ""}
        self.vms[name] = {"result": "failed", "actions": [], "pending_restart": [], "vm": {}, "ready": None, "addresses": [], "skipped": None, "error": error}
        self.vms[name]["host"], self.ends[name] = host or None, self.lost[host]

    def result(self, order: list[str]) -> dict[str, Any]:
        """As the module's own."""
        vms = {name: self.vms[name] for name in [*order, *sorted(set(self.vms) - set(order))] if name in self.vms}
        said = summary(vms, check=self.planned)
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
        lost = [why for host, why in self.lost.items() if not any(vm["host"] == (host or None) for vm in vms.values())]
        words = "\n".join(filter(None, (failure(self.lab, vms, self.networks), *lost)))
        return {**result, "failed": True, "msg": words} if words else result


def _is_summary(part: Any, lab: str) -> bool:
    return isinstance(part, dict) and set(part) == {"prepared"} and str(part["prepared"]).startswith(f"{lab}: ")
