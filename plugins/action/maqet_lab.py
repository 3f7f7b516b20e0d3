# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of maqet_lab: it reads the lab's files, and has the module do the work where the machines live."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.validation import check_type_dict
from ansible.plugins.action import ActionBase
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab import merge_definitions
from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_progress import Watch, begin, is_long, is_watched, show_table
from ansible_collections.maqet.qemu.plugins.plugin_utils._packed import packed
from ansible_collections.maqet.qemu.plugins.plugin_utils._pipelined import pipeline

if TYPE_CHECKING:
    from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab import Lab


class ActionModule(ActionBase):  # type: ignore[misc]
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        pipeline(self._connection, self._task)
        if arguments.get("hosts") is not None:  # one host of several
            return self._here(arguments, task_vars)
        begin()
        with packed(self._task.action):
            return self._apply(arguments, task_vars)

    def _apply(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        sources, definition = arguments.pop("src", None), arguments.get("definition")
        if sources and definition:
            raise AnsibleActionFail("src and definition are both given. Give one of them")
        if sources:
            arguments["definition"] = self._read(sources)
        elif isinstance(definition, str):
            arguments["definition"] = _parsed(definition)
        result = self._everywhere(arguments, task_vars) if _names_hosts(arguments.get("definition")) else self._here(arguments, task_vars)
        if result.get("vms") and is_long() and is_watched(self._task):
            show_table(result["vms"], planned=bool(result.get("planned")))
        return result

    def _here(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        """On the host that the action's connection leads to."""
        result: dict[str, Any] = {}
        watch = Watch(self) if is_watched(self._task) and not arguments.get("recall") else None
        try:
            more = {"progress": watch.path} if watch else {}
            result = self._execute_module(module_name="maqet.qemu.maqet_lab", module_args={**arguments, **more}, task_vars=task_vars)
        finally:
            if watch:
                watch.end(result)
        return result

    def _everywhere(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        """On each host that the lab names."""
        from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_result import refusal
        from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_run import LabRun

        here, is_local = self._task.delegate_to or task_vars["inventory_hostname"], self._connection.transport == "local"
        try:
            run = LabRun(arguments, here=here, hostvars=task_vars["hostvars"], is_local=is_local, become=bool(self._task.become))
        except MaqetError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        self._check_once(run.lab, task_vars)
        if run.is_here_alone:
            return self._here({**arguments, "hosts": list(run.names_of("")), "span": {}}, task_vars)
        questions = run.questions()
        if questions:
            answers = self._side_by_side(arguments, questions, task_vars)
            if refused := refusal(answers, run.hosts):
                return refused
            run.hear(answers)
        for number, turn in enumerate(run.turns()):
            results = self._side_by_side(arguments, turn, task_vars)
            if number == 0 and (refused := refusal(results, run.hosts)):
                return refused
            run.add(results)
        return run.result()

    def _check_once(self, lab: Lab, task_vars: Any) -> None:
        """Machines without a host would be made on every host of the play, and each would have the others as misplaced."""
        hosts = {machine.host for machine in lab.machines.values()}
        if "" in hosts and len(hosts) > 1 and not self._task.run_once and not self._task.delegate_to and len(task_vars.get("ansible_play_hosts_all") or ()) > 1:
            raise AnsibleActionFail(
                "some machines of the lab name their host and some do not, and the play has several hosts. "
                "Add run_once: true to the task, or name a host for each machine (defaults: {host: …})"
            )

    def _side_by_side(self, arguments: dict[str, Any], turn: dict[str, dict[str, Any]], task_vars: Any) -> dict[str, dict[str, Any]]:
        """The results by host, of the module with more arguments on each."""
        from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_hosts import run_on, side_by_side

        jobs: dict[str, Any] = {}
        for host, more in turn.items():
            job = {**arguments, **more}
            jobs[host] = partial(run_on, self, host, job, task_vars) if host else partial(self._here, job, task_vars)
        return side_by_side(jobs)

    def _read(self, sources: Any) -> dict[str, Any]:
        """The lab of these files."""
        definitions = []
        for source in sources if isinstance(sources, list) else [word.strip() for word in str(sources).split(",")]:
            if not isinstance(source, str):
                raise AnsibleActionFail("src: an element is no file's name. Give one, or a list of them: src: [lab.yml, lab.ci.yml]")
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


def _parsed(text: str) -> dict[str, Any]:
    """A dictionary that was given as a text, as an extra variable is: read here, since it says on which hosts the machines are."""
    try:
        definition: dict[str, Any] = check_type_dict(text)
    except TypeError as exc:
        raise AnsibleActionFail("definition: is no dictionary. Give one, or a file by src") from exc
    return definition


def _names_hosts(definition: Any) -> bool:
    """Whether any machine says where it is; all else is for the module to judge."""
    if not isinstance(definition, dict):
        return False
    places = [definition.get("defaults"), *(place for key in ("profiles", "vms") for place in _values(definition.get(key)))]
    return any(isinstance(place, dict) and place.get("host") for place in places)


def _values(place: Any) -> list[Any]:
    return list(place.values()) if isinstance(place, dict) else []
