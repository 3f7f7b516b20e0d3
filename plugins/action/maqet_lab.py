# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of maqet_lab: it reads the lab's files, and has the module do the work where the machines live."""

from __future__ import annotations

from functools import partial
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab import merge_definitions
from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_progress import Watch, begin, is_long, is_watched, show_table
from ansible_collections.maqet.qemu.plugins.plugin_utils._packed import packed


class ActionModule(ActionBase):  # type: ignore[misc]
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get("hosts") is not None:  # one host of several
            return self._here(arguments, task_vars)
        begin()
        with packed(self._task.action):
            return self._apply(arguments, task_vars)

    def _apply(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        sources = arguments.pop("src", None)
        if sources and arguments.get("definition"):
            raise AnsibleActionFail("src and definition are both given. Give one of them")
        if sources:
            arguments["definition"] = self._read(sources if isinstance(sources, list) else str(sources).split(","))
        result = self._everywhere(arguments, task_vars) if _names_hosts(arguments.get("definition")) else self._here(arguments, task_vars)
        if result.get("vms") and is_long() and is_watched(self._task):
            show_table(result["vms"], planned=bool(result.get("planned")))
        return result

    def _here(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        """On the host that the action's connection leads to."""
        result: dict[str, Any] = {}
        watch = Watch(self) if is_watched(self._task) else None
        try:
            more = {"progress": watch.path} if watch else {}
            result = self._execute_module(module_name="maqet.qemu.maqet_lab", module_args={**arguments, **more}, task_vars=task_vars)
        finally:
            if watch:
                watch.end(result)
        return result

    def _everywhere(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        """On each host that the lab names."""
        from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_run import LabRun

        try:
            run = LabRun(arguments, here=self._task.delegate_to or task_vars["inventory_hostname"], hostvars=task_vars["hostvars"])
        except MaqetError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        if run.is_here_alone:
            return self._here({**arguments, "hosts": list(run.names_of(""))}, task_vars)
        from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_hosts import run_on, side_by_side

        for turn in run.turns():
            jobs = {}
            for host, more in turn.items():
                job = {**arguments, **more}
                jobs[host] = partial(run_on, self, host, job, task_vars) if host else partial(self._here, job, task_vars)
            run.add(side_by_side(jobs))
        return run.result()

    def _read(self, sources: list[str]) -> dict[str, Any]:
        """The lab of these files."""
        definitions = []
        for source in sources:
            try:
                definitions.append(self._loader.load_from_file(self._find_needle("files", source), cache="none"))
            except AnsibleError as exc:
                raise AnsibleActionFail(f"src: {source} cannot be read: {exc}") from exc
            if not isinstance(definitions[-1], dict):
                raise AnsibleActionFail(f"src: {source} holds no dictionary. A lab file begins with lab: and its name")
        try:
            return merge_definitions(definitions)
        except MaqetError as exc:
            raise AnsibleActionFail(f"src: {exc}") from exc


def _names_hosts(definition: Any) -> bool:
    """Whether any machine says where it is; all else is for the module to judge."""
    if not isinstance(definition, dict):
        return False
    places = [definition.get("defaults"), *(place for key in ("profiles", "vms") for place in _values(definition.get(key)))]
    return any(isinstance(place, dict) and place.get("host") for place in places)


def _values(place: Any) -> list[Any]:
    return list(place.values()) if isinstance(place, dict) else []
