# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of every module but maqet_lab (meta/runtime.yml names it): Ansible's own, with the packed module kept
and pipelined."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible_collections.maqet.qemu.plugins.plugin_utils._packed import packed
from ansible_collections.maqet.qemu.plugins.plugin_utils._pipelined import pipeline


class ActionModule(NormalAction):  # type: ignore[misc]
    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        pipeline(self._connection, self._task)
        with packed(self._task.action):
            result: dict[str, Any] = super().run(tmp, task_vars)
        return result
