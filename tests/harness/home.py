# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scratch home: XDG directories below a test's own folder, machine names of its own, and an end that leaves nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

from . import look, packed
from .engine import reach

CALLBACKS = Path(__file__).with_name("callbacks")


def task(module, *, check=False, **arguments):
    """A task of a play; its failure is the test's to judge."""
    name = module if "." in module else f"maqet.qemu.{module}"
    return {name: arguments, "check_mode": check, "diff": True, "ignore_errors": True}


def vm(name, *, check=False, **arguments):
    return task("maqet_vm", check=check, name=name, **arguments)


def qmp(name, command, *, check=False, **arguments):
    return task("maqet_qmp", check=check, name=name, command=command, **arguments)


def is_pipelined(argv):
    return len(argv) == 1 and Path(argv[0]).name.startswith("python")


class Home:
    """:param root: a folder of the test's own; desk: another for the plays, where that one is soon full."""

    def __init__(self, root, desk=None):
        self.root = Path(root)
        self.desk = Path(desk or root)
        self.runtime = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
        self.mark = uuid.uuid4().hex[:8]
        self.state, self.data, self.cache = (self.root / word for word in ("state", "data", "cache"))
        self._names = []
        self._networks = []
        self._plays = 0
        for directory in (self.state, self.data, self.cache):
            directory.mkdir(parents=True)
        packed.lend(self)

    @property
    def environment(self):
        folders = {"XDG_STATE_HOME": self.state, "XDG_DATA_HOME": self.data, "XDG_CACHE_HOME": self.cache, "XDG_RUNTIME_DIR": self.runtime}
        return {**os.environ, **{key: str(folder) for key, folder in folders.items()}}

    def name(self, word="vm"):
        """A machine's name that nobody else on this host has."""
        name = f"t{self.mark}-{word}"
        self._names.append(name)
        return name

    def network(self, word="lan"):
        """A network's name that nobody else on this host has."""
        name = f"t{self.mark}-{word}"
        self._networks.append(name)
        return name

    def net_directory(self, name):
        return self.data / "maqet/networks" / name

    def net_sockets(self, name):
        return self.sockets(f"net:{name}")

    def directory(self, name):
        return self.data / "maqet/vms" / name

    def sockets(self, name):
        return self.runtime / "maqet" / hashlib.sha256(name.encode()).hexdigest()[:8]

    def qemus(self, name):
        return look.qemus(self.directory(name))

    def pid(self, name):
        """Of the machine's one QEMU."""
        (pid,) = self.qemus(name)
        return pid

    def modules(self):
        """Pids of the modules at work for it: pipelined, so each is a Python without a file."""
        pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and is_pipelined(look.command_line(entry))]
        return [pid for pid in pids if str(self.state).encode() in look.environment(pid)]

    def play(self, *tasks, **variables):
        """The results of the tasks, run by one ansible-playbook."""
        return self.end(self.begin(*tasks, **variables))

    def begin(self, *tasks, stdout=subprocess.PIPE, **variables):
        """An ansible-playbook that runs the tasks; :meth:`end` waits for it."""
        return self.begin_book([{"hosts": "localhost", "gather_facts": False, "connection": "local", "tasks": list(tasks)}], stdout=stdout, **variables)

    def begin_book(self, plays, *, stdout=subprocess.PIPE, **variables):
        self._plays += 1
        file = self.desk / f"play-{self._plays}.json"
        file.write_text(json.dumps(plays))
        settings = {"ANSIBLE_STDOUT_CALLBACK": "results", "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS), "ANSIBLE_LOCALHOST_WARNING": "false"}
        program = shutil.which("ansible-playbook", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        env = {**self.environment, **settings, "ANSIBLE_HOME": str(self.desk / "ansible"), **variables}
        return subprocess.Popen([program, str(file)], env=env, cwd=self.desk, stdout=stdout, stderr=subprocess.PIPE, text=True)

    @staticmethod
    def end(process, seconds=150):
        output, errors = process.communicate(timeout=seconds * look.PATIENCE)
        results = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        failed = [result.get("msg", result) for result in results if result["failed"]]
        assert process.returncode == 0 and results, f"{failed or output}\n{errors}"
        return results if len(results) > 1 else results[0]

    def started(self, name, supervisor="auto", **raw):
        """A small machine, declared and running, the quick way (in this process); its facts."""
        return reach(self, name, raw={"memory": "64MiB", **raw}, supervisor=supervisor).vm

    def traces(self, name):
        """All that is left of a machine."""
        return self.traces_of_files(name) + look.units(name) + self.qemus(name)

    def traces_of_files(self, name):
        files = [path for path in look.listing(self.state, self.data) if name in path]
        database = self.state / "maqet/state.db"
        if database.exists() and name.encode() in database.read_bytes():
            files.append("a row of the state DB")
        if self.sockets(name).exists():
            files.append(str(self.sockets(name)))
        return files

    def close(self):
        """End every machine, however it is: nobody asks its guest."""
        packed.give_back(self)
        for _try in range(50):
            pids = look.qemus(self.root)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            units = look.units(self.mark)
            if units:
                look.systemctl("stop", *units, check=False)
                look.systemctl("reset-failed", *units, check=False)
            if not pids and not units:
                break
        # A lab names its own.
        networks = {*self._networks, *(path.name for path in self.data.glob("maqet/networks/*"))}
        for name in networks:
            look.end_all(self.net_sockets(name))
        for name in [*self._names, *(path.name for path in self.data.glob("maqet/vms/*")), *(f"net:{name}" for name in networks)]:
            shutil.rmtree(self.sockets(name), ignore_errors=True)
