# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Output of scripts/demo: what debug tasks say, each with its own time; failures; nothing else."""

from __future__ import annotations

import os
import sys
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: story
type: stdout
short_description: What debug tasks say, each with the time since the one before
description: [The output of scripts/demo.]
options: {}
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "story"

    def __init__(self):
        super().__init__()
        self._since = time.monotonic()
        self._live = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._warned = set()

    def _clear(self):
        if self._live:
            sys.stdout.write("\r\033[K")

    def _say(self, text):
        self._clear()
        first, *others = str(text).rstrip().splitlines() or [""]
        now = time.monotonic()
        print(f"{now - self._since:6.1f} s  {first}")
        for line in others:
            print(f"          {line}")
        sys.stdout.flush()
        self._since = now

    def v2_playbook_on_task_start(self, task, is_conditional):
        if self._live:
            self._clear()
            sys.stdout.write(f"     ...  {task.get_name()}"[:78])
            sys.stdout.flush()

    v2_playbook_on_handler_task_start = v2_playbook_on_task_start

    def _warn(self, result):
        for warning in result.result.get("warnings") or []:
            if str(warning) not in self._warned:
                self._warned.add(str(warning))
                self._clear()
                print(f"    note  {warning}")

    def v2_runner_on_ok(self, result):
        self._warn(result)
        if result.task.action in ("debug", "ansible.builtin.debug"):
            self._say(result.result.get("msg", ""))

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if ignore_errors:
            return
        self._clear()
        found = [result.result, *result.result.get("results", [])]
        print(f"FAILED    {result.task.get_name()}")
        for one in found:
            if one is result.result or one.get("failed"):
                for key in ("msg", "stderr", "stdout"):
                    if one.get(key):
                        print(f"          {one[key]}")
        sys.stdout.flush()

    def v2_runner_on_unreachable(self, result):
        self.v2_runner_on_failed(result)

    def v2_playbook_on_stats(self, stats):
        self._clear()
