# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of maqet_lab: it reads the lab's files, and has the module do the work where the machines live."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab import merge_definitions


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        sources = arguments.pop("src", None)
        if sources and arguments.get("definition"):
            raise AnsibleActionFail("src and definition are both given. Give one of them")
        if sources:
            arguments["definition"] = self._read(sources if isinstance(sources, list) else str(sources).split(","))
        return self._execute_module(module_name="maqet.qemu.maqet_lab", module_args=arguments, task_vars=task_vars)

    def _read(self, sources):
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
