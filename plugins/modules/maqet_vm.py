#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_vm
short_description: One QEMU machine as desired state
version_added: 0.1.0
description:
  - Compares a declared machine with what is stored and with what really runs, and does only what is missing.
  - A running machine is a transient unit of the calling user's systemd. No root, no libvirt, no daemon.
  - A task without any option of the machine reconciles O(state) alone. A task with at least one is the whole
    declaration, and an option that is left out returns to its default (see O(update)).
  - A machine's UUID, MAC addresses, automatic host ports and versioned machine type are made once and kept.
options:
  name:
    description:
      - The machine's name. It becomes its unit, its directory and QEMU's name of the guest.
      - 1 to 63 letters, digits, V(_), V(.) or V(-), the first a letter or digit.
    type: str
    required: true
  state:
    description:
      - V(present) sees that the machine is declared and its disks exist, and leaves it running or not.
      - V(started) sees that it runs, its virtual CPUs too.
      - V(stopped) asks the guest to power down, asks again, then ends QEMU.
      - V(paused) sees that QEMU runs with its virtual CPUs stopped.
      - V(suspended) saves the guest's memory to disk and ends QEMU. V(started) continues where it was.
      - V(restarted) stops and starts the machine once, each time the task runs. O(on_restart_needed=restart) is the idempotent way.
      - V(absent) stops the machine and removes it with all its files. Files named by O(disks[].path) stay.
    type: str
    choices: [present, started, stopped, paused, suspended, restarted, absent]
    default: started
  update:
    description:
      - V(replace) takes the task's options as the whole declaration.
      - V(merge) puts them over the stored one, dictionaries deep, devices by their names.
    type: str
    choices: [replace, merge]
    default: replace
  on_restart_needed:
    description:
      - What to do when a change reaches the running machine at its next start only.
      - V(defer) leaves it running and returns what waits in RV(pending_restart), on every run until it is in force.
      - V(restart) restarts it. V(fail) changes nothing and fails.
    type: str
    choices: [defer, restart, fail]
    default: defer
  shutdown_timeout:
    description:
      - Seconds that the guest may take to power down before QEMU is ended. Also used when the host shuts down.
    type: float
    default: 60
  timeout:
    description:
      - Seconds for all else, such as another task on the same machine, a start, an answer of the monitor.
    type: float
    default: 60
  force:
    description:
      - Stop without asking the guest, even a machine that does not answer, and give up saved memory.
    type: bool
    default: false
  supervisor:
    description:
      - Who runs the machine. V(auto) takes V(systemd) where the user's manager answers, else V(process).
      - V(process) starts QEMU as a background process. Nothing restarts it and no limit is enforced.
      - It is stored with the machine.
    type: str
    choices: [auto, systemd, process]
    default: auto
extends_documentation_fragment:
  - maqet.qemu.machine
  - maqet.qemu.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
seealso:
  - module: maqet.qemu.maqet_qmp
  - module: maqet.qemu.maqet_vm_info
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: A machine with a disk of its own and ssh on a free host port
  maqet.qemu.maqet_vm:
    name: web
    cpus: 2
    memory: 1GiB
    disks:
      - name: root
        image: /srv/images/debian-12.qcow2
        size: 10GiB
    nics:
      - name: lan
        forwards:
          - guest: 22
  register: web

- name: Use the port that it was given
  ansible.builtin.wait_for:
    port: "{{ web.vm.forwards[0].host }}"
    search_regex: OpenSSH

- name: More memory, now
  maqet.qemu.maqet_vm:
    name: web
    memory: 2GiB
    update: merge
    on_restart_needed: restart

- name: A kernel under test, without any disk
  maqet.qemu.maqet_vm:
    name: kernel
    memory: 256MiB
    boot:
      kernel: /boot/vmlinuz
      initrd: /srv/initrd.img
      cmdline: console=ttyS0 panic=-1

- name: Stop it, asking the guest first
  maqet.qemu.maqet_vm:
    name: web
    state: stopped

- name: Remove it and its disks
  maqet.qemu.maqet_vm:
    name: web
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: dict
  sample:
    - action: define
      summary: define the machine
    - action: start
      summary: start
pending_restart:
  description: Paths of options that are declared and wait for the next start.
  returned: always
  type: list
  elements: str
  sample: [memory]
vm:
  description:
    - The machine as it is now. Empty when it is absent.
  returned: always
  type: dict
  sample:
    name: web
    uuid: 6d3b7a1e-1c57-4d6c-9d3d-1a8f5d3e9c11
    status: running
    pid: 4711
    unit: maqet-vm-web.service
    supervisor: systemd
    accel: kvm
    machine: pc-q35-7.2
    qemu_version: 7.2.22
    directory: /home/me/.local/share/maqet/vms/web
    sockets:
      qmp: /run/user/1000/maqet/1f2e3d4c/qmp.sock
    forwards:
      - {nic: lan, protocol: tcp, listen: 127.0.0.1, host: 20022, guest: 22}
"""

from ansible_collections.maqet.qemu.plugins.module_utils._engine import Engine
from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, diff, fail, run
from ansible_collections.maqet.qemu.plugins.module_utils._plan.wish import Wish
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import OPTIONS, given
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import argument_spec

POLICY = {
    "state": {
        "type": "str",
        "choices": ["present", "started", "stopped", "paused", "suspended", "restarted", "absent"],
        "default": "started",
    },
    "update": {"type": "str", "choices": ["replace", "merge"], "default": "replace"},
    "on_restart_needed": {"type": "str", "choices": ["defer", "restart", "fail"], "default": "defer"},
    "shutdown_timeout": {"type": "float", "default": 60},
    "timeout": {"type": "float", "default": 60},
    "force": {"type": "bool", "default": False},
    "supervisor": {"type": "str", "choices": ["auto", "systemd", "process"], "default": "auto"},
}


def reconcile(module: Module, check: bool) -> dict:
    name = module.params["name"]
    hide_secrets(module)
    policy = {key: module.params[key] for key in POLICY}
    wish = Wish(name=name, raw=given(module.params) or None, **policy)
    outcome = Engine().run([wish], check=check)[0]
    result = {
        "changed": outcome.changed,
        "actions": outcome.actions,
        "pending_restart": outcome.pending_restart,
        "vm": outcome.vm,
        "warnings": outcome.warnings,
        "diff": diff(name, outcome),
    }
    if outcome.error:
        fail(module, outcome.error, changed=outcome.changed, actions=outcome.actions)
    return result


def hide_secrets(module: Module) -> None:
    """QEMU's own property dicts may hold secrets: no result shows them, one that refuses them least of all."""
    escapes = [module.params[option] for option in ("objects", "devices") if module.params[option]]
    if escapes:
        from ansible_collections.maqet.qemu.plugins.module_utils._spec.qmp_schema import secrets

        module.no_log_values.update(secrets(escapes))


def main() -> None:
    run(reconcile, {"name": {"type": "str", "required": True}, **POLICY, **argument_spec(OPTIONS)})


if __name__ == "__main__":
    main()
