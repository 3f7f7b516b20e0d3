# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines exported and imported in this process, or in a child that ends at a boundary."""

from __future__ import annotations

import os
import subprocess

from ansible_collections.maqet.qemu.plugins.module_utils._archive import transfer_machine
from ansible_collections.maqet.qemu.plugins.module_utils._engine import Engine
from ansible_collections.maqet.qemu.plugins.module_utils._host.host import Host
from ansible_collections.maqet.qemu.plugins.module_utils._host.paths import Paths
from ansible_collections.maqet.qemu.plugins.module_utils._plan.archive import Transfer

from .engine import Cut


def move(home, name, path, check=False, witness=None, **wish):
    """What became of the machine and its export."""
    host = Host(Paths(f"{home.state}/maqet", f"{home.data}/maqet", f"{home.cache}/maqet", str(home.runtime)))
    try:
        return transfer_machine(Transfer(name, str(path), **wish), check=check, engine=Engine(host, witness=witness))
    finally:
        host.store.close()


def boundaries(home, name, path, **wish):
    """The moments of a transfer, which is done."""
    moments = []
    assert move(home, name, path, witness=moments.append, **wish).changed
    return moments


def die_moving(home, name, number, path, **wish):
    """The same in a child that is killed at the boundary with this number."""
    child = os.fork()
    if not child:
        try:
            move(home, name, path, witness=Cut(number), **wish)
        finally:
            os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "the child came to its own end"


def write(file, form, pattern, where="1M"):
    """As a guest would."""
    qemu("qemu-io", "-f", form, "-c", f"write -P {pattern} {where} 1M", file)


def same(file, other, form="qcow2", other_form="qcow2"):
    """Whether two disks hold the same for a guest."""
    return subprocess.run(["qemu-img", "compare", "-q", "-f", form, "-F", other_form, file, other], check=False).returncode == 0


def qemu(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout
