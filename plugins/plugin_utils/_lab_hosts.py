# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab's task on several hosts: on each as ``delegate_to`` would run it, each in a process of its own, as Ansible has it with hosts."""

from __future__ import annotations

import inspect
import multiprocessing
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import wait
from typing import Any

from ansible import constants
from ansible.executor.task_executor import TaskExecutor
from ansible.playbook.play_context import PlayContext
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.unsafe_proxy import wrap_var

# What a task says of itself and not of its action.
_OURS: dict[str, Any] = {"loop": None, "loop_with": None, "register": None, "until": [], "retries": None, "when": [], "changed_when": [], "failed_when": []}
_OURS.update(run_once=False, ignore_errors=None, ignore_unreachable=None, delegate_facts=None, notify=None)


def run_on(action: ActionBase, host: str, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
    """The task's result on a host of the inventory: its connection, its variables."""
    task = action._task.copy()
    for name, value in {**_OURS, "delegate_to": host, "args": wrap_var(arguments)}.items():
        setattr(task, name, value)
    if task.connection == "local":  # of the play, and for the host where the task runs
        task.connection = constants.DEFAULT_TRANSPORT
    manager, given = task.get_variable_manager(), action._play_context
    passwords = {"conn_pass": given.password, "become_pass": given.become_pass}
    play_context = PlayContext(play=task.get_play(), passwords=passwords, connection_lockfd=given.connection_lockfd)
    known = manager._inventory.get_host(task_vars["inventory_hostname"])
    parts = {"new_stdin": None} if "new_stdin" in inspect.signature(TaskExecutor.__init__).parameters else {}
    parts.update(loader=action._loader, shared_loader_obj=action._shared_loader_obj, final_q=Display()._final_q, variable_manager=manager)
    result: dict[str, Any] = TaskExecutor(host=known, task=task, job_vars=dict(task_vars), play_context=play_context, **parts).run()
    return result


def side_by_side(runs: Mapping[str, Callable[[], dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The result of each, in a process of its own: neither plugins nor templates of Ansible are made for threads."""
    fork = multiprocessing.get_context("fork")
    results: dict[str, dict[str, Any]] = {}
    pipes: dict[Any, str] = {}
    processes: list[Any] = []
    try:
        for name, run in runs.items():
            ours, theirs = fork.Pipe(duplex=False)
            processes.append(fork.Process(target=_send, args=(run, theirs)))
            pipes[ours] = name
            processes[-1].start()
            theirs.close()
        while pipes:
            ready: list[Any] = wait(list(pipes))
            for pipe in ready:
                try:
                    results[pipes[pipe]] = pipe.recv()
                except EOFError:
                    results[pipes[pipe]] = {"failed": True, "msg": "its process ended without a result"}
                del pipes[pipe]
    finally:
        for process in processes:
            if pipes:  # the task was ended meanwhile
                process.terminate()
            process.join()
    return {name: results[name] for name in runs}


def _send(run: Callable[[], dict[str, Any]], pipe: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    try:
        result = run()
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is this host's alone
        result = {"failed": True, "msg": str(exc)}
    pipe.send(result)
    pipe.close()
