# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One line of JSON for each task's result, with the seconds that the task took."""

from __future__ import annotations

import json
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: stdout
short_description: One line of JSON for each task's result
description: Made for the tests of this collection.
"""


class CallbackModule(CallbackBase):
    """A play's results and nothing else."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "results"

    _begun = 0.0

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._begun = time.monotonic()

    def _say(self, result, failed):
        seconds = time.monotonic() - self._begun
        facts = getattr(result, "result", None) or result._result
        self._display.display(json.dumps({**facts, "failed": failed, "seconds": seconds, "play_host": result._host.name}, default=str))

    def v2_runner_on_ok(self, result):
        self._say(result, False)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._say(result, True)

    def v2_runner_on_unreachable(self, result):
        self._say(result, True)
