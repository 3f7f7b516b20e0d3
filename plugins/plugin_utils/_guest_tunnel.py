# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to a machine on another host: that host's ssh brings the machine's socket here.

The first task of a run asks the host where the socket is. ssh then stays as long as the run, and is everybody's of it: a directory
beside our sockets has its control socket, the forwarded one, what was answered and what ssh said.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..module_utils._errors import HostError, MachineError, MaqetError
from ..module_utils._host.deadline import Deadline
from ..module_utils._host.paths import SOCKET_PATH_MAX, find_paths, make_private, write_private
from . import _answers as answers
from ._guest_way import check

_ASK_SECONDS = 30
_PREFIX = "to-"
# $0 is the run's process, $1 the directory. Nobody else is told when a run ends: its tasks are processes that come and go.
_WATCH = """
while kill -0 "$0" 2>/dev/null; do sleep 1; done
ssh -F none -O exit -o ControlPath="$1/ssh" run 2>/dev/null
rm -rf "$1"
"""
# What ssh says for each client of a forwarded socket that the other end does not reach, or may not.
_UNREACHED = "open failed"
_MISSES = 5
# ssh binds its control socket under a longer name at first.
_LONGEST_NAME = "/ssh.XXXXXXXXXXXXXXXX"


class There:
    """:param name: the machine's; hypervisor: the host's in the inventory; run: this run of Ansible, by its process; hostvars: Ansible's."""

    def __init__(self, name: str, hypervisor: str, run: int, hostvars: Any) -> None:
        self._name, self._host, self._run, self._hostvars = name, hypervisor, run, hostvars
        word = hashlib.sha256(f"{hypervisor}\0{name}".encode()).hexdigest()[:8]
        self._folder = f"{find_paths().sockets}/{_PREFIX}{run}-{word}"
        self._argv: list[str] = []
        self._heard = 0

    def prepare(self) -> None:
        """Ask what only Ansible's own thread can be asked: where the socket is, and what ssh it takes.

        :raises MaqetError: there is no way.
        """
        with self._alone():
            self._argv = self._known() or self._ask()
            self._heard = len(self._said())

    def explain(self, error: MaqetError) -> MaqetError:
        """What the host says of the machine now, where its agent is silent; in Ansible's own thread, too."""
        if error.data.get("status") != "unresponsive":
            return error
        try:
            with self._alone():
                self._ask()
        except MaqetError as exc:
            return exc
        return error

    async def find(self, deadline: Deadline) -> str:
        return await asyncio.to_thread(self._find, deadline)

    async def why(self, error: MachineError) -> MachineError:
        hint = error.hint or "See that qemu-guest-agent runs in the guest, and that no other client holds its socket"
        silent = MachineError(f"{error.message} of {self._name} on {self._host}", hint=hint, status="unresponsive")
        return self._barred() or silent

    def close(self) -> None:
        """End the ssh: the next task begins anew."""
        with self._alone():
            _end(self._folder)
            with suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/answer")

    def _find(self, deadline: Deadline) -> str:
        with self._alone():
            if not _answers(f"{self._folder}/ssh"):
                self._connect(deadline)
        barred = self._barred()
        if barred:
            raise barred
        return f"{self._folder}/agent"

    def _barred(self) -> MachineError | None:
        """Whether ssh was told again and again since the last look that it cannot have the socket."""
        said = self._said()
        news, self._heard = said[self._heard :], len(said)
        if news.count(_UNREACHED) <= _MISSES:
            return None
        hint = "Its sshd must allow AllowStreamLocalForwarding to the user who logs in"
        return MachineError(f"{self._host} does not let ssh reach the socket of {self._name}", hint=hint, status="unresponsive")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of several tasks that want to begin at once, one does."""
        parent = os.path.dirname(self._folder)
        make_private(parent)
        if len(self._folder) + len(_LONGEST_NAME) > SOCKET_PATH_MAX:
            raise HostError(f"the path {self._folder} is too long for a socket", hint="Set XDG_RUNTIME_DIR to a shorter one")
        make_private(self._folder)
        with open(f"{self._folder}/lock", "a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.fstat(lock.fileno()).st_size:
                _sweep(parent)
                self._watch()
                lock.write("watched")
                lock.flush()
            yield

    def _watch(self) -> None:
        how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.Popen(["sh", "-c", _WATCH, str(self._run), self._folder], start_new_session=True, **how)

    def _ssh(self, hypervisors: Any, remote: str) -> list[str]:
        # What comes first counts, so ours comes before the host's own.
        own = {"ControlMaster": "yes", "ControlPath": f"{self._folder}/ssh", "ControlPersist": "no", "LogLevel": "INFO"}
        own |= {"StreamLocalBindUnlink": "yes", "ExitOnForwardFailure": "yes", "BatchMode": "yes"}
        program, *argv = hypervisors.ssh(self._host)
        options = [word for key, value in own.items() for word in ("-o", f"{key}={value}")]
        return [program, "-f", "-N", "-E", f"{self._folder}/said", *options, *argv, "-L", f"{self._folder}/agent:{remote}", hypervisors.address(self._host)]

    def _connect(self, deadline: Deadline) -> None:
        with suppress(FileNotFoundError):
            os.unlink(f"{self._folder}/said")
        # Its own words it appends itself; a program that connects it has only standard error.
        with open(f"{self._folder}/said", "a", encoding="utf-8") as words:
            try:
                how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": words}
                done = subprocess.run(self._argv, **how, timeout=max(5.0, deadline.left), check=False)
            except subprocess.TimeoutExpired as exc:
                raise MachineError(f"{self._host} did not let ssh in within {exc.timeout:g} s") from exc
        if done.returncode or not os.path.exists(f"{self._folder}/agent"):
            what = f"ssh to {self._host} did not forward the agent's socket: {self._said().strip()}"
            raise MachineError(what, hint="A password cannot be given to it: use a key")

    def _said(self) -> str:
        with suppress(OSError), open(f"{self._folder}/said", encoding="utf-8", errors="replace") as file:
            return file.read()
        return ""

    def _known(self) -> list[str]:
        with suppress(OSError, ValueError), open(f"{self._folder}/answer", encoding="utf-8") as file:
            return [str(word) for word in json.load(file)]
        return []

    def _ask(self) -> list[str]:
        """The ssh to where the machine's socket is on its host, which is asked.

        :raises MaqetError: nobody can speak to its agent now.
        """
        hypervisors = self._hypervisors()
        arguments = {"brief": True, "name": [self._name]}
        result = hypervisors.ask([self._host], "maqet.qemu.maqet_vm_info", arguments, _ASK_SECONDS)[self._host]
        machines = answers.plain(result.get("vms"))
        if machines is None:
            raise HostError(f"{self._host} cannot tell its machines: {answers.words(result.get('msg', ''))}", hint="See that 'ansible -m ping' gets there")
        facts = next((item for item in machines if not answers.fault(item) and item["name"] == self._name), None)
        remote = check(self._name, facts, self._host)
        # ssh puts this host's environment and more in for $ and %.
        if not remote.startswith("/") or set(remote) & set(":$%"):
            raise HostError(f"{self._host} tells of a socket that is none: {answers.words(remote)!r}")
        argv = self._ssh(hypervisors, remote)
        write_private(f"{self._folder}/answer", json.dumps(argv), durable=False)
        return argv

    def _hypervisors(self) -> Any:
        """The host, with its variables in this run."""
        from ansible.inventory.data import InventoryData
        from ansible.parsing.dataloader import DataLoader
        from ansible.vars.reserved import get_reserved_names

        from ._hypervisors import Hypervisors

        if self._host not in self._hostvars:
            hint = "Give its name there, not its address. One that only a maqet source names under hypervisors is no host there"
            raise HostError(f"maqet_guest_hypervisor: the inventory has no host {self._host!r}", hint=hint)
        magic = get_reserved_names()
        variables = {key: value for key, value in self._hostvars.raw_get(self._host).items() if key not in magic}
        hypervisors = Hypervisors(InventoryData(), DataLoader(), {self._host: variables})
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
        subprocess.run(["ssh", "-F", "none", "-O", "exit", "-o", f"ControlPath={folder}/ssh", "run"], capture_output=True, check=False)


def _sweep(parent: str) -> None:
    """Remove what runs left that were ended together with their watch."""
    for name in os.listdir(parent):
        run = name[len(_PREFIX) :].partition("-")[0]
        if name.startswith(_PREFIX) and run.isdigit() and not _lives(int(run)):
            _end(f"{parent}/{name}")
            shutil.rmtree(f"{parent}/{name}", ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
