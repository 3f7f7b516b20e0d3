# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a lab's task is doing, shown while its module runs: the module's file is read over a connection beside the module's own."""

from __future__ import annotations

import contextvars
import json
import os
import secrets
import shlex
import threading
import time
from contextlib import suppress
from typing import Any

from ansible import constants, context
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import become_loader, callback_loader, connection_loader
from ansible.utils.display import Display
from ansible_collections.maqet.qemu.plugins.module_utils._plan.lab import KINDS

# Shorter tasks are not spoken of.
_QUIET_SECONDS = 1.0
_PAUSE, _LONGEST_PAUSE = 0.5, 2.0
_JOIN_SECONDS = 10.0
_DEFAULT = "ansible.plugins.callback.default"
_WIDTH = 120
# When the task began, in this process and those that it makes.
_began = 0.0


def begin() -> None:
    """A task begins."""
    global _began  # noqa: PLW0603
    _began = time.monotonic()


def is_long() -> bool:
    """Whether it is worth a table."""
    return time.monotonic() - _began > _QUIET_SECONDS


def is_watched(task: Any) -> bool:
    """Whether people read the output: not that of ``ansible`` alone, nor of callbacks that are not like Ansible's default one, such as json."""
    if task.no_log or context.CLIARGS.get("module_name"):
        return False
    shown = callback_loader.get(constants.DEFAULT_STDOUT_CALLBACK, class_only=True)
    return shown is not None and any(item.__module__ == _DEFAULT for item in shown.__mro__)


class Watch:
    """Of one run of the module.

    :param path: of its file there.
    """

    def __init__(self, action: ActionBase) -> None:
        self.path = f"/tmp/maqet-{secrets.token_hex(16)}"  # noqa: S108 - on the hypervisor, the module makes it anew
        self._action, self._ended, self._shown, self._read = action, threading.Event(), 0, 0
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._run,), daemon=True)
        self._since = time.monotonic() - _began
        self._thread.start()

    def end(self, result: dict[str, Any]) -> None:
        """Show what came last. The module has removed its file, unless it was cut off."""
        self._ended.set()
        self._thread.join(_JOIN_SECONDS)
        told = result.pop("told", None)
        if told is None:
            with suppress(Exception):
                self._action._low_level_execute_command(f"rm -f {shlex.quote(self.path)}", sudoable=True)
        elif is_long():
            self._show(told[self._shown :])

    def _run(self) -> None:
        if self._ended.wait(_QUIET_SECONDS):
            return
        pause = _PAUSE
        with suppress(Exception):  # nobody needs it: the result says it all
            eye = _eye(self._action)
            try:
                while not self._ended.is_set():
                    lines = self._look(eye)
                    self._show(lines)
                    self._shown += len(lines)
                    pause = _PAUSE if lines else min(pause * 1.2, _LONGEST_PAUSE)
                    self._ended.wait(pause)
            finally:
                eye._connection.close()

    def _look(self, eye: ActionBase) -> list[list[Any]]:
        command = f"tail -c +{self._read + 1} {shlex.quote(self.path)}"
        text = eye._low_level_execute_command(command, sudoable=True)["stdout"]
        whole = text[: text.rfind("\n") + 1]
        self._read += len(whole.encode())
        lines = []
        for line in whole.splitlines():
            with suppress(ValueError):
                lines.append(json.loads(line))
        return lines

    def _show(self, lines: list[list[Any]]) -> None:
        display = Display()
        for seconds, name, what in lines:
            display.display(f"  {self._since + seconds:6.1f} s  {_plain(name)}: {_plain(what)}", color=constants.COLOR_VERBOSE)


class _Eye(ActionBase):  # type: ignore[misc]
    """Runs commands alone."""

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        raise NotImplementedError


def _eye(action: ActionBase) -> _Eye:
    """With a connection of its own, to the same place as the action's."""
    used = action._connection
    connection = connection_loader.get(
        used.ansible_name, action._play_context, new_stdin=None, task_uuid=action._task._uuid, ansible_playbook_pid=str(os.getppid())
    )
    _as_of(connection, used)
    _as_of(connection._shell, used._shell)
    if used.become:
        become = become_loader.get(used.become.ansible_name)
        _as_of(become, used.become)
        connection.set_become_plugin(become)
    return _Eye(action._task, connection, action._play_context, action._loader, action._templar, action._shared_loader_obj)


def _as_of(plugin: Any, other: Any) -> None:
    plugin._options = dict(other._options)


def _plain(text: Any) -> str:
    """In one line, and none of it told to the terminal."""
    first = str(text).partition("\n")[0]
    return "".join(letter if letter.isprintable() else " " for letter in first)[:_WIDTH]


def show_table(vms: dict[str, dict[str, Any]], *, planned: bool) -> None:
    """Each machine in a line."""
    words = KINDS if planned else {}
    rows = [("NAME", "STATE", "ADDRESS", "READY", "RESULT"), *(_row(name, vm, words.get(vm["result"], vm["result"])) for name, vm in vms.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    display, colors = Display(), {"failed": constants.COLOR_ERROR, "skipped": constants.COLOR_SKIP, "unchanged": constants.COLOR_OK}
    results = [None, *(vm["result"] for vm in vms.values())]
    for row, result in zip(rows, results):
        line = "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[4]])
        color = colors.get(result, constants.COLOR_CHANGED) if result else None
        display.display(f"  {line}", color=color)


def _row(name: str, vm: dict[str, Any], result: str) -> tuple[str, ...]:
    facts = vm.get("vm") or {}
    ways = [f"{item['listen']}:{item['host']}->{item['guest']}" for item in facts.get("forwards") or ()]
    address = ", ".join([*(vm.get("addresses") or ()), *ways])
    ready = "" if vm.get("ready") is None else f"{vm['ready']:.1f} s"
    done = ", ".join(dict.fromkeys(action["summary"] for action in vm.get("actions") or ())) if vm["result"] == "changed" else ""
    waits = f"{len(vm['pending_restart'])} pending restart" if vm.get("pending_restart") else ""
    more = vm.get("skipped") or (vm.get("error") or {}).get("msg") or ", ".join(filter(None, (done, waits)))
    return tuple(map(_plain, (name, facts.get("status") or "", address, ready, f"{result}: {more}" if more else result)))
