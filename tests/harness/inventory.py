# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A home's machines as ansible-inventory shows them."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

PLUGIN = "maqet.qemu.maqet"


class Inventory:
    """:param home: whose environment ansible-inventory has."""

    def __init__(self, home):
        self.home = home
        self.warnings = ""

    def file(self, name="maqet.yml", **options):
        path = self.home.desk / name
        path.write_text(json.dumps({"plugin": PLUGIN, **options}))
        return path

    def run(self, *words, program="ansible-inventory", **variables):
        where = shutil.which(program, path=f"{Path(sys.executable).parent}:{self.home.environment['PATH']}")
        settings = {"ANSIBLE_HOME": str(self.home.desk / "ansible"), "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_NOCOLOR": "1"}
        env = {**self.home.environment, **settings, **variables}
        done = subprocess.run([where, *map(str, words)], env=env, cwd=self.home.desk, capture_output=True, text=True, timeout=150, check=False)
        self.warnings = " ".join(done.stderr.split())
        return done

    def read(self, *sources, flags=(), **options):
        """Groups with their hosts, and hosts with their variables."""
        done = self.run(*(word for source in (*sources, self.file(**options)) for word in ("-i", source)), "--list", *flags)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        hosts = answer.pop("_meta")["hostvars"]
        return {name: set(group.get("hosts", ())) for name, group in answer.items()}, hosts

    def refused(self, **options):
        """Why the file cannot be used."""
        done = self.run("-i", self.file(**options), "--list", ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="true")
        assert done.returncode != 0 and "Traceback" not in done.stdout + done.stderr
        return " ".join(done.stderr.split())


def as_user(home, **variables):
    """Connection variables of a hypervisor whose Python has another home's environment: as another user's has."""
    wrapper = home.desk / "python"
    lines = [f"export {name}={shlex.quote(value)}" for name, value in home.environment.items() if name.startswith("XDG_")]
    wrapper.write_text("\n".join(["#!/bin/sh", *lines, f'exec {shlex.quote(sys.executable)} "$@"', ""]))
    wrapper.chmod(0o755)
    return {"ansible_connection": "local", "ansible_python_interpreter": str(wrapper), **variables}


def telling(home, name, answer):
    """Connection variables of a hypervisor that answers that, whatever it is asked: a list of machines, or text instead of a result."""
    text = answer if isinstance(answer, str) else json.dumps({"changed": False, "vms": answer})
    (home.desk / f"{name}.said").write_text(text)
    teller = home.desk / f"{name}.sh"
    teller.write_text(f"#!/bin/sh\nexec cat {shlex.quote(str(home.desk / f'{name}.said'))}\n")
    teller.chmod(0o755)
    return {"ansible_connection": "local", "ansible_python_interpreter": str(teller)}
