# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays in guests, through their agents; and ansible-core's own test of connections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import ansible.release

from .guest import alone
from .home import CALLBACKS
from .inventory import as_user

CONNECTION = {"ansible_connection": "maqet.qemu.maqet_guest", "ansible_python_interpreter": "/usr/bin/python3"}


class Inside:
    """:param hosts: names in the inventory, each with its variables."""

    def __init__(self, home, hosts):
        self.home = home
        self.inventory = home.desk / "guests.json"
        self.invite(hosts)

    def invite(self, hosts, **others):
        """:param others: hosts with connections of their own."""
        self.inventory.write_text(json.dumps({"guest": {"hosts": hosts, "vars": CONNECTION}, "ungrouped": {"hosts": others}}))

    def run(self, *words, program="ansible-playbook", cwd=None, **variables):
        env = {**self.home.environment, "ANSIBLE_HOME": str(self.home.desk / "ansible"), "ANSIBLE_NOCOLOR": "1", **variables}
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        return subprocess.run([program, *map(str, words)], env=env, cwd=cwd or self.home.desk, capture_output=True, text=True, timeout=400, check=False)

    def play(self, *tasks, hosts="guest", **play):
        """The results, each with the name of its host; a failure or a host out of reach is the test's to judge."""
        file = self.home.desk / "inside.json"
        settings = {"hosts": hosts, "gather_facts": False, "ignore_errors": True, "ignore_unreachable": True, "tasks": list(tasks), **play}
        file.write_text(json.dumps([settings]))
        how = {"ANSIBLE_STDOUT_CALLBACK": "results", "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS), "ANSIBLE_FORKS": "8"}
        done = self.run("-i", self.inventory, file, **how)
        results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert results, done.stdout + done.stderr
        return results


def through(home, sshd):
    """Connection variables of a hypervisor that has a home's machines, behind an ssh server."""
    python = as_user(home)["ansible_python_interpreter"]
    known = f"-o UserKnownHostsFile={sshd.folder}/known"
    options = {"ansible_host": "127.0.0.1", "ansible_port": sshd.port, "ansible_ssh_private_key_file": str(sshd.folder / "key")}
    return {**options, "ansible_ssh_extra_args": known, "ansible_python_interpreter": python}


def connection_target():
    """The folder of ansible-core's test target ``connection``, out of the source of the release that is installed here."""
    version = ansible.release.__version__
    cache = Path(os.environ.get("MAQET_TEST_CACHE") or Path.home() / ".cache/maqet-qemu") / f"ansible-core-{version}"
    with alone(cache):
        if not cache.exists():
            work = cache.with_name(f"{cache.name}.{os.getpid()}")
            argv = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "ansible-core", "-d", str(work), f"ansible-core=={version}"]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            (source,) = work.glob("*.tar.gz")
            with tarfile.open(source) as archive:
                wanted = [item for item in archive.getmembers() if "/test/integration/targets/connection/" in item.name]
                archive.extractall(work, members=wanted)
            source.unlink()
            work.rename(cache)
    return next(cache.glob("*/test/integration/targets/connection"))
