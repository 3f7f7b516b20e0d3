# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that run machines, asked while an inventory is being read, each over its own connection as in a play.

What the command line says of connections (``-u``, ``-b``, ``-e ansible_…``, ``--limit``, …) is for what it runs, so it is left out here:
every command sees the same machines.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterable
from contextlib import contextmanager
from typing import Any

from ansible import constants, context
from ansible.executor.task_queue_manager import TaskQueueManager
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible.template import Templar
from ansible.utils.context_objects import CLIArgs
from ansible.utils.vars import combine_vars
from ansible.vars.manager import VariableManager
from ansible.vars.plugins import get_vars_from_inventory_sources

# ssh's -J and -F, also behind flags, and -o of what -J is short for.
_BY_ANOTHER = r"-[46AaCfGgKkMNnqsTtVvXxYy]*[JF]|(-o)?\s*(?i:ProxyJump|ProxyCommand)\b"
_REGISTERED = "maqet_answer"
_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh")
_KEPT = ("basedir", "extra_vars", "inventory", "module_path", "vault_ids", "vault_password_files", "verbosity")
# Which of a host's variables make it another host, or another user there.
_TELLING = ("ansible_become", "ansible_connection", "ansible_host", "ansible_port", "ansible_python_interpreter", "ansible_ssh", "ansible_user")


class _Quiet(TaskQueueManager):  # type: ignore[misc]
    """Runs a play of which nobody is told: what it finds is in its registered variable."""

    def load_callbacks(self) -> None:
        pass

    def send_callback(self, method_name: str, *args: Any, **kwargs: Any) -> None:
        pass


class _Variables(VariableManager):  # type: ignore[misc]
    """How hosts are connected to is not what the command line says (``-e ansible_user=…``): that is for what it runs."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        said: dict[str, Any] = self.extra_vars
        self._extra_vars = {key: value for key, value in said.items() if not key.startswith("ansible_")}

    def of_host(self, host: Any) -> dict[str, Any]:
        return dict(self.get_vars(host=host, include_hostvars=False))


class Hypervisors:
    """
    :param known: the inventory as far as it was read before.
    :param given: the hosts that are meant, each with the variables that come on top of those it has there.
    """

    def __init__(self, known: Any, loader: Any, given: dict[str, dict[str, Any]]) -> None:
        self._loader = loader
        self._inventory = _part(known, loader, given)
        self._manager = _Variables(loader=loader, inventory=self._inventory)
        self._known: dict[str, dict[str, Any]] = {}
        self._connections: dict[str, Any] = {}
        self._in_plays = {name for name, more in given.items() if name in known.hosts and not more}

    def variables(self, name: str) -> dict[str, Any]:
        """As they are before it is asked, since facts may come with an answer."""
        if name not in self._known:
            self._known[name] = self._manager.of_host(self._inventory.get_host(name))
        return self._known[name]

    def is_in_plays(self, name: str) -> bool:
        """Whether plays know that host, and as it is known here."""
        return name in self._in_plays

    def telling(self, name: str) -> dict[str, str]:
        """What tells a host from another of the same name; no passwords."""
        variables = self.variables(name).items()
        return {key: str(value) for key, value in variables if key.startswith(_TELLING) and "pass" not in key}

    def ask(self, names: Iterable[str], module: str, arguments: dict[str, Any], seconds: int) -> dict[str, dict[str, Any]]:
        """One run of the module on each, all at once; the results by name."""
        wanted = list(names)
        task = {module: arguments, "register": _REGISTERED, "timeout": seconds}
        task.update(ignore_errors=True, ignore_unreachable=True, debugger="never")
        source = {"name": "maqet", "hosts": "all", "gather_facts": False, "any_errors_fatal": False, "strategy": "ansible.builtin.linear", "tasks": [task]}
        for name in wanted:
            self.variables(name)
        manager = _Variables(loader=self._loader, inventory=self._inventory)
        with _without_the_command_line():
            self._inventory.subset(wanted)
            play = Play().load(source, variable_manager=manager, loader=self._loader)
            queue = _Quiet(inventory=self._inventory, variable_manager=manager, loader=self._loader, passwords={}, forks=len(wanted))
            try:
                queue.run(play)
            finally:
                queue.cleanup()
                self._inventory.subset(None)
        answers = {name: manager.of_host(self._inventory.get_host(name)).get(_REGISTERED) for name in wanted}
        return {name: answer or {"failed": True, "msg": "no result came back"} for name, answer in answers.items()}

    def kind(self, name: str) -> str:
        """``ssh``, ``local``, or another connection plugin's name."""
        variables = self.variables(name)
        said = Templar(loader=self._loader, variables=variables).template(variables.get("ansible_connection", constants.DEFAULT_TRANSPORT))
        word = str(said).rpartition(".")[2]
        return "ssh" if word in _SSH else word

    def is_plain_ssh(self, name: str) -> bool:
        """Whether it is reached by ssh, and the user who logs in is the one whose machines they are."""
        return self.kind(name) == "ssh" and not self.becomes(name)

    def becomes(self, name: str) -> bool:
        variables = self.variables(name)
        said = Templar(loader=self._loader, variables=variables).template(variables.get("ansible_become", constants.DEFAULT_BECOME))
        return bool(boolean(said, strict=False))

    def address(self, name: str) -> str:
        """Where the controller reaches it by ssh."""
        return str(self._ssh(name).get_option("host") or name)

    def is_behind_another(self, name: str) -> bool:
        """Whether ssh gets to it by arguments of its own that say through whom, so that other ports there are reached only through it."""
        argv = shlex.split(self._ssh(name).get_option("ssh_common_args") or "")
        return any(re.match(_BY_ANOTHER, word) for word in argv)

    def through(self, name: str, host: str, port: int) -> str:
        """Arguments of an ssh that reaches ``host:port`` as the hypervisor sees it."""
        # Which ever connection the host has is used, none is left open for it.
        program, *argv = self.ssh(name)
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        command = shlex.join([program, "-o", "ControlMaster=no", *argv, "-W", target, self.address(name)])
        # ssh reads % in it; what is meant for the inner one stays its own.
        return shlex.join(["-o", f"ProxyCommand={command.replace('%', '%%')}"])

    def ssh(self, name: str) -> list[str]:
        """The ssh that a task there would have: the program and its options, all but the address."""
        plugin = self._ssh(name)
        argv = [plugin.get_option("ssh_executable")]
        for option in ("ssh_args", "ssh_common_args", "ssh_extra_args"):
            argv += shlex.split(plugin.get_option(option) or "")
        if not plugin.get_option("host_key_checking"):
            argv += ["-o", "StrictHostKeyChecking=no"]
        for flag, option in (("-p", "port"), ("-l", "remote_user"), ("-i", "private_key_file")):
            value = plugin.get_option(option)
            argv += [flag, str(value)] if value else []
        return argv

    def _ssh(self, name: str) -> Any:
        """Its connection plugin, with the options that a task there would have."""
        if name not in self._connections:
            variables = self.variables(name)
            templar = Templar(loader=self._loader, variables=variables)
            with _without_the_command_line():
                plugin = connection_loader.get("ssh", PlayContext())
                words = constants.config.get_plugin_vars("connection", plugin._load_name)
                plugin.set_options(var_options={word: templar.template(variables[word]) for word in words if word in variables})
            self._connections[name] = plugin
        return self._connections[name]


def _part(known: Any, loader: Any, given: dict[str, dict[str, Any]]) -> InventoryManager:
    """An inventory of these hosts alone, with their groups, and the variables that files beside the sources give them."""
    sources = list(known.processed_sources)
    manager = InventoryManager(loader=loader, sources=sources, parse=False)
    for name, group in known.groups.items():
        manager.add_group(name)
        for key, value in group.vars.items():
            manager.groups[name].set_variable(key, value)
    for name, group in known.groups.items():
        there = {child.name for child in manager.groups[name].child_groups}
        for child in group.child_groups:
            if child.name not in there:
                manager.groups[name].add_child_group(manager.groups[child.name])
    for name, more in given.items():
        manager.add_host(name)
        own = known.hosts.get(name)
        for group in own.groups if own else ():
            manager.add_host(name, group.name)
        for key, value in {**(own.vars if own else {}), **more}.items():
            manager.get_host(name).set_variable(key, value)
    manager.reconcile_inventory()
    # As the manager does it when it has read its sources.
    for entity in [*manager.groups.values(), *manager.hosts.values()]:
        entity.vars = combine_vars(entity.vars, get_vars_from_inventory_sources(loader, sources, [entity], "inventory"))
    return manager


@contextmanager
def _without_the_command_line() -> Any:
    """As if nothing was said there. The task queue takes over two signals; they are given back."""
    said = context.CLIARGS
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    usual = {
        "become": constants.DEFAULT_BECOME,
        "become_method": constants.DEFAULT_BECOME_METHOD,
        "connection": constants.DEFAULT_TRANSPORT,
        "private_key_file": constants.DEFAULT_PRIVATE_KEY_FILE,
        "remote_user": constants.DEFAULT_REMOTE_USER,
        "timeout": constants.DEFAULT_TIMEOUT,
    }
    context.CLIARGS = CLIArgs({**usual, **{key: said[key] for key in _KEPT if key in said}})
    try:
        yield
    finally:
        context.CLIARGS = said
        for number, handler in handlers:
            signal.signal(number, handler)
