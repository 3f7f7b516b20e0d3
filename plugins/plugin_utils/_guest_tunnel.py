# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to a machine on another host: that host's ssh brings the machine's socket here.

The first task of a run asks the host where the socket is. ssh then stays for a minute after the last task that used it, and is everybody's
of the same run: a directory beside our sockets has its control socket, the forwarded one and what was answered.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..module_utils._errors import HostError, MachineError, MaqetError
from ..module_utils._host.deadline import Deadline
from ..module_utils._host.paths import SOCKET_PATH_MAX, find_paths, make_private, write_private
from ._guest_way import check

_PERSIST_SECONDS, _ASK_SECONDS = 60, 30
_PREFIX = "to-"
# ssh binds its control socket under a longer name at first.
_LONGEST_NAME = "/ssh.XXXXXXXXXXXXXXXX"


class There:
    """:param name: the machine's; hypervisor: the host's in the inventory; run: this run of Ansible, by its process."""

    def __init__(self, name: str, hypervisor: str, run: int) -> None:
        self._name, self._host, self._run = name, hypervisor, run
        word = hashlib.sha256(f"{hypervisor}\0{name}".encode()).hexdigest()[:8]
        self._folder = f"{find_paths().sockets}/{_PREFIX}{run}-{word}"
        self._argv: list[str] = []

    def prepare(self) -> None:
        """Ask what only Ansible's own thread can be asked: where the socket is, and what ssh it takes.

        :raises MaqetError: there is no way.
        """
        with self._alone():
            if _answers(f"{self._folder}/ssh"):
                return
            hypervisors = self._hypervisors()
            remote = self._known() or self._ask(hypervisors)
            self._argv = [*self._ssh(hypervisors), "-L", f"{self._folder}/agent:{remote}", hypervisors.address(self._host), "true"]

    def explain(self, error: MaqetError) -> MaqetError:
        """What the host says of the machine now, where its agent is silent; in Ansible's own thread, too."""
        if error.data.get("status") != "unresponsive":
            return error
        try:
            self._ask(self._hypervisors())
        except MaqetError as exc:
            return exc
        return error

    async def find(self, deadline: Deadline) -> str:
        return await asyncio.to_thread(self._find, deadline)

    async def why(self, error: MachineError) -> MachineError:
        hint = error.hint or "See that qemu-guest-agent runs in the guest, and that no other client holds its socket"
        return MachineError(f"{error.message} of {self._name} on {self._host}", hint=hint, status="unresponsive")

    def close(self) -> None:
        """End the ssh: the next task begins anew."""
        _end(self._folder)

    def _find(self, deadline: Deadline) -> str:
        with self._alone():
            if not _answers(f"{self._folder}/ssh"):
                self._connect(deadline)
        return f"{self._folder}/agent"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of several tasks that want to begin at once, one does."""
        make_private(os.path.dirname(self._folder))
        if len(self._folder) + len(_LONGEST_NAME) > SOCKET_PATH_MAX:
            raise HostError(f"the path {self._folder} is too long for a socket", hint="Set XDG_RUNTIME_DIR to a shorter one")
        make_private(self._folder)
        with open(f"{self._folder}/lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _ssh(self, hypervisors: Any) -> list[str]:
        # What comes first counts, so ours comes before the host's own.
        own = {"ControlMaster": "auto", "ControlPath": f"{self._folder}/ssh", "ControlPersist": f"{_PERSIST_SECONDS}s"}
        own |= {"StreamLocalBindUnlink": "yes", "ExitOnForwardFailure": "yes", "BatchMode": "yes"}
        program, *argv = hypervisors.ssh(self._host)
        return [program, *(word for key, value in own.items() for word in ("-o", f"{key}={value}")), *argv]

    def _connect(self, deadline: Deadline) -> None:
        if not self._argv:
            raise MachineError(f"the ssh to {self._host} has ended", hint="The next task begins another")
        _sweep(os.path.dirname(self._folder))
        # It stays in the background with whatever it was given as standard error.
        with tempfile.TemporaryFile() as words:
            try:
                how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": words}
                done = subprocess.run(self._argv, **how, timeout=max(5.0, deadline.left), check=False)
            except subprocess.TimeoutExpired as exc:
                raise MachineError(f"{self._host} did not let ssh in within {exc.timeout:g} s") from exc
            words.seek(0)
            said = words.read().decode(errors="replace").strip()
        if done.returncode or not os.path.exists(f"{self._folder}/agent"):
            raise MachineError(f"ssh to {self._host} did not forward the agent's socket: {said}", hint="A password cannot be given to it: use a key")

    def _known(self) -> str:
        with suppress(OSError, ValueError), open(f"{self._folder}/answer", encoding="utf-8") as file:
            return str(json.load(file))
        return ""

    def _ask(self, hypervisors: Any) -> str:
        """Where the machine's socket is on its host.

        :raises MaqetError: nobody can speak to its agent now.
        """
        arguments = {"brief": True, "name": [self._name]}
        result = hypervisors.ask([self._host], "maqet.qemu.maqet_vm_info", arguments, _ASK_SECONDS)[self._host]
        machines = result.get("vms")
        if not isinstance(machines, list):
            raise HostError(f"{self._host} cannot tell its machines: {str(result.get('msg', '')).strip()}", hint="See that 'ansible -m ping' gets there")
        facts = next((item for item in machines if item.get("name") == self._name), None)
        remote = check(self._name, facts, self._host)
        if not remote.startswith("/") or ":" in remote:
            raise HostError(f"{self._host} tells of a socket that is none: {remote!r}")
        write_private(f"{self._folder}/answer", json.dumps(remote), durable=False)
        return remote

    def _hypervisors(self) -> Any:
        """The host, with its variables in the inventory of this run."""
        from ._hypervisors import Hypervisors

        # A connection is told its own host's variables alone. Ansible's process for the task has the inventory.
        worker: Any = multiprocessing.current_process()
        manager = getattr(worker, "_variable_manager", None)
        inventory = getattr(manager, "_inventory", None)
        if inventory is None or inventory.get_host(self._host) is None:
            raise HostError(f"maqet_guest_hypervisor: the inventory has no host {self._host!r}", hint="Give its name there, not its address")
        hypervisors = Hypervisors(inventory._inventory, worker._loader, {self._host: {}})
        if not hypervisors.is_plain_ssh(self._host):
            what = "another user's, by become" if hypervisors.kind(self._host) == "ssh" else "not reached by ssh"
            hint = "ssh alone forwards a socket, and only one of the user who logs in: set ansible_user of that host to whose machines they are"
            raise HostError(f"maqet_guest_hypervisor: {self._host} is {what}", hint=hint)
        return hypervisors


def _answers(control: str) -> bool:
    """Whether an ssh listens on its control socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(control)
        except OSError:
            return False
    return True


def _end(folder: str) -> None:
    if _answers(f"{folder}/ssh"):
        subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={folder}/ssh", "-"], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: str) -> None:
    """Remove what runs that have ended left."""
    for name in os.listdir(parent):
        run = name[len(_PREFIX) :].partition("-")[0]
        if name.startswith(_PREFIX) and run.isdigit() and not os.path.exists(f"/proc/{run}"):
            _end(f"{parent}/{name}")
