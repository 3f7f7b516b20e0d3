# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labs in this process, or by a playbook."""

from __future__ import annotations

from ansible_collections.maqet.qemu.plugins.module_utils._engine import Engine
from ansible_collections.maqet.qemu.plugins.module_utils._lab import run_lab
from ansible_collections.maqet.qemu.plugins.module_utils._plan.lab import LabTask

from .engine import host_of
from .home import task


def bring(home, definition, *, check=False, witness=None, **wish):
    """What became of the lab."""
    host = host_of(home)
    try:
        return run_lab(definition, LabTask(**wish), engine=Engine(host, witness=witness), check=check)
    finally:
        host.store.close()


def lab(definition, *, check=False, **arguments):
    """A task of a play."""
    return task("maqet_lab", check=check, definition=definition, **arguments)


def did(result):
    """What was done, or is planned, by machine and network: the actions in order."""
    parts = {**result["networks"], **result["vms"]}
    return {name: [action["summary"] for action in part["actions"]] for name, part in parts.items() if part["actions"]}


def kinds(result):
    return {name: part["result"] for name, part in result["vms"].items()}
