#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_snapshot
short_description: Points in time of machines, to go back to
version_added: 0.1.0
description:
  - Takes, restores and removes snapshots of one machine, or of all machines of a lab at one point in time.
  - A snapshot has all disks of a machine that can be written, at one point, its UEFI variables and its TPM's state, and with
    O(ram=true) the guest's memory. It lies in the machine's qcow2 disks and in its directory.
  - Works on machines that run, are paused or are stopped.
options:
  name:
    description:
      - The machine's name.
      - Give this or O(lab).
    type: str
  lab:
    description:
      - All machines whose label C(lab) is this, at one point in time. All of them get the snapshot or none.
    type: str
  snapshot:
    description:
      - The snapshot's label, 1 to 63 letters, digits, V(_), V(.) or V(-), and not of digits alone. For example V(before-upgrade).
    type: str
    required: true
  state:
    description:
      - V(present) takes the snapshot unless it is there.
      - V(absent) removes it.
      - V(restored) puts the machine back to it. What it does now is given up, and it is changed each time.
      - A machine that is restored with memory goes on as it was when the snapshot was taken, running, paused or stopped. One
        that is restored without is ended at once, and started again if it ran.
    type: str
    choices: [present, absent, restored]
    default: present
  ram:
    description:
      - Save the guest's memory too, so that it goes on from there. The guest stands still meanwhile.
      - A machine that is stopped has none; its snapshot says that it was stopped.
    type: bool
    default: false
  keep:
    description:
      - How many snapshots stay whose label begins with O(prefix), this one among them. When this one is complete the oldest
        others go. For example V(7).
    type: int
  prefix:
    description:
      - What the labels begin with that O(keep) counts, O(snapshot) too. For example V(nightly-).
    type: str
  quiesce:
    description:
      - Whether the guest's file systems are frozen, by its agent, while a snapshot without memory is taken.
      - V(auto) does so where an agent answers, and says in C(actions) whether it did.
      - V(yes) fails where that is not possible. It does not go with O(ram=true), whose memory holds what is not written yet.
      - However the task ends, the guest goes on.
    type: str
    choices: [auto, 'yes', 'no']
    default: auto
  timeout:
    description:
      - Seconds for the locks, and for each step of a machine. Memory of several GiB takes its time. For example V(600).
    type: float
    default: 120
notes:
  - A disk that was made anew since, or whose file is gone, cannot be put back, and nothing is touched then. A disk that has come since
    stays as it is, with a warning. One that has grown since has its old size again, and the next M(maqet.qemu.maqet_vm) grows it.
extends_documentation_fragment:
  - maqet.qemu.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
seealso:
  - module: maqet.qemu.maqet_vm
  - module: maqet.qemu.maqet_vm_info
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: A point to go back to before an upgrade
  maqet.qemu.maqet_snapshot:
    name: web
    snapshot: before-upgrade

- name: Go back to it
  maqet.qemu.maqet_snapshot:
    name: web
    snapshot: before-upgrade
    state: restored

- name: Every night, and seven of them
  maqet.qemu.maqet_snapshot:
    name: web
    snapshot: "nightly-{{ now(utc=true, fmt='%Y-%m-%d') }}"
    prefix: nightly-
    keep: 7
    quiesce: 'yes'

- name: A whole lab with its memory, at one point
  maqet.qemu.maqet_snapshot:
    lab: shop
    snapshot: ready
    ram: true
    timeout: 600

- name: It is needed no more
  maqet.qemu.maqet_snapshot:
    lab: shop
    snapshot: ready
    state: absent
"""

RETURN = r"""
snapshots:
  description: Each machine's snapshots, oldest first, as they are afterwards.
  returned: success
  type: dict
  sample:
    web:
      - {name: before-upgrade, created: '2026-03-01T12:00:00.000Z', ram: false, status: running, quiesced: true, complete: true, disks: [root]}
actions:
  description: What was done (in check mode would be), in order.
  returned: success
  type: list
  elements: dict
  sample:
    - {action: snapshot, machine: web, summary: 'web: take snapshot before-upgrade of root', outcome: "the guest's file systems were frozen"}
"""

from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, diff, run
from ansible_collections.maqet.qemu.plugins.module_utils._plan.snapshot import SnapshotTask
from ansible_collections.maqet.qemu.plugins.module_utils._snapshots import snapshots

ARGUMENTS = {
    "name": {"type": "str"},
    "lab": {"type": "str"},
    "snapshot": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent", "restored"], "default": "present"},
    "ram": {"type": "bool", "default": False},
    "keep": {"type": "int"},
    "prefix": {"type": "str"},
    "quiesce": {"type": "str", "choices": ["auto", "yes", "no"], "default": "auto"},
    "timeout": {"type": "float", "default": 120},
}


def work(module: Module, check: bool) -> dict:
    params = module.params
    task = SnapshotTask(
        params["snapshot"],
        params["state"],
        params["ram"],
        params["keep"],
        params["prefix"] or "",
        params["quiesce"],
        params["timeout"],
    )
    done = snapshots(task, name=params["name"] or "", lab=params["lab"] or "", check=check)
    result = {"changed": done.changed, "snapshots": done.snapshots, "actions": done.actions, "warnings": done.warnings}
    if done.changed:
        result["diff"] = diff(module, params["name"] or params["lab"], done)
    return result


def main() -> None:
    run(work, ARGUMENTS, mutually_exclusive=[("name", "lab")], required_one_of=[("name", "lab")], required_by={"keep": "prefix"})


if __name__ == "__main__":
    main()
