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
  - What QEMU can change while the machine runs is changed at once. Of the rest O(on_restart_needed) says what becomes.
    C(docs/live-changes.md) of the collection says of every option which it is.
  - What was changed behind the task's back (drift) is put right by the next task that has O(state=started) or any other state
    in which the machine runs. Check mode foretells it.
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
      - V(suspended) saves the guest's memory to disk and ends QEMU. V(started) continues where it was, after the host was
        rebooted too, or says why it cannot (an older QEMU, another CPU).
      - V(restarted) always stops and starts the machine, once each time the task runs, whether something waits or not.
        V(started) with O(on_restart_needed=restart) is the idempotent way, and restarts only when a change needs it.
      - V(absent) stops the machine and removes it with all its files. Files named by O(disks[].path) stay.
    type: str
    choices: [present, started, stopped, paused, suspended, restarted, absent]
    default: started
  update:
    description:
      - V(replace) takes the task's options as the whole declaration. A disk or card that is left out is removed from the machine.
      - V(merge) puts them over the stored one, dictionaries deep, devices by their names.
    type: str
    choices: [replace, merge]
    default: replace
  on_restart_needed:
    description:
      - What to do when a change reaches the running machine at its next start only. What can be changed live is changed live with each.
      - V(defer) leaves it running and returns what waits in RV(pending_restart), on every run until it is in force.
        Where the option is one that can change live and could not this time, a warning says why.
      - V(restart) restarts it once, when something waits and not otherwise.
      - V(fail) changes nothing and fails.
      - A device that is removed from a running machine goes only when the guest agrees, for which it has 15 seconds. When it
        does not, or refuses, the removal waits for the next start like any other change. V(fail) knows of it only after it was tried.
        Runs with the same declaration do not ask the guest again, except one that was paused and runs now.
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
        Fetching one of O(images) may take half an hour, or this where it is longer.
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
  recreate:
    description:
      - Disks of the machine's own that are made anew, once each time the task runs. All that the guest wrote to them is lost.
      - It is the only way in which a disk comes to lie on a newer image, or on another one.
      - A machine that runs is restarted for it with O(on_restart_needed=restart), and refused otherwise.
      - "For example V([root])."
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - maqet.qemu.machine
  - maqet.qemu.devices
  - maqet.qemu.first_boot
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

- name: More CPUs than it was started with, by a restart if it needs one
  maqet.qemu.maqet_vm:
    name: web
    cpus: 4
    update: merge
    on_restart_needed: restart

- name: A machine with room to grow
  maqet.qemu.maqet_vm:
    name: db
    cpus: 2
    max_cpus: 8
    memory: 2GiB
    max_memory: 16GiB
    disks:
      - name: root
        image: /srv/images/debian-12.qcow2
        size: 10GiB
      - name: cd
        device: cdrom
        path: /srv/images/tools.iso
    nics:
      - name: lan
        forwards:
          - guest: 22

# With update: merge the next tasks name only what changes. None of them stops the guest.
- name: More of both, another disk, the first one larger and the other slower
  maqet.qemu.maqet_vm:
    name: db
    cpus: 4
    memory: 8GiB
    disks:
      - name: root
        size: 20GiB
      - name: data
        size: 100GiB
        bus: scsi
        throttle:
          iops: 2000
          bps: 200MiB
    update: merge

- name: Another CD, the cable out
  maqet.qemu.maqet_vm:
    name: db
    disks:
      - name: cd
        path: /srv/images/drivers.iso
    nics:
      - name: lan
        link: down
    update: merge

- name: Limits for a machine that takes too much
  maqet.qemu.maqet_vm:
    name: db
    resources:
      cpu_quota: 150%
      memory_max: 17GiB
    update: merge
  register: db

- name: What waits for a restart, and nothing does
  ansible.builtin.assert:
    that: db.pending_restart == []

- name: UEFI with Secure Boot, a TPM, and a screen with a password from the vault
  maqet.qemu.maqet_vm:
    name: desktop
    memory: 4GiB
    firmware: uefi
    secure_boot: true
    tpm: true
    video: virtio
    display:
      type: vnc
      password: "{{ vault_screen }}"
    disks:
      - name: root
        size: 64GiB
      - name: setup
        device: cdrom
        path: /srv/images/setup.iso
    nics:
      - name: lan

- name: A directory of the host in the guest (mount -t virtiofs src /mnt)
  maqet.qemu.maqet_vm:
    name: builder
    memory: 2GiB
    disks:
      - name: root
        image: /srv/images/debian-12.qcow2
    shares:
      - name: src
        path: /home/me/src
        readonly: true

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
  description:
    - What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description:
        - V(define) stores the declaration, V(remove) takes the machine and its files away.
        - V(make_disk), V(grow_disk), V(delete_disk) and V(make_nvram) work on files, V(fetch_image) on the image cache.
        - V(start), V(stop), V(suspend), V(restore) (load the saved memory) and V(discard) (give it up) change what runs.
        - V(revert) and V(thaw) finish what a task that was cut off left half done, a machine half put back to a snapshot or a guest held still for one.
        - V(plug), V(unplug) and V(qmp) change the running QEMU, V(set_properties) its unit.
      type: str
      sample: plug
    summary:
      description: One line for people.
      type: str
      sample: "disks[data]: added"
    paths:
      description: Paths of the options that a live change is for.
      type: list
      elements: str
      sample: ["disks[data]"]
    commands:
      description: The exact QMP commands, without secrets.
      type: list
      elements: dict
      sample:
        - execute: device_del
          arguments: {id: disk-data}
    argv_changes:
      description: What a start changes in QEMU's command line, V(-) before what goes and V(+) before what comes.
      type: list
      elements: str
      sample: ["- -smp cpus=1", "+ -smp cpus=2"]
    outcome:
      description: How it went, where that is not plain, such as a guest that did not let go of a device.
      type: str
      sample: the guest did not let go of it within 15 s
    file:
      description: The file that was made, grown or deleted.
      type: str
      sample: /home/me/.local/share/maqet/vms/web/data.qcow2
  sample:
    - action: define
      summary: define the machine
    - action: start
      summary: start
pending_restart:
  description:
    - Paths of options that are declared and wait for the next start.
    - On every run until they are in force. Why an option waits that could have changed live is said by a warning.
    - V(argv) when QEMU was started by somebody else, with another command line.
  returned: always
  type: list
  elements: str
  sample: [firmware, "disks[data]"]
vm:
  description:
    - The machine as it is now. Empty when it is absent.
  returned: always
  type: dict
  contains:
    name:
      description: The machine's name.
      type: str
    uuid:
      description: Its UUID, made once.
      type: str
    status:
      description: V(stopped), V(suspended), or QEMU's own word (V(running), V(paused), V(io-error), …).
      type: str
    pid:
      description: QEMU's process, null when none runs.
      type: int
    unit:
      description: Its unit, null under supervisor V(process).
      type: str
    supervisor:
      description: Who runs it, V(systemd) or V(process).
      type: str
    accel:
      description: The accelerator of its last start, V(kvm) or V(tcg).
      type: str
    machine:
      description: The versioned machine type that O(machine) was resolved to once.
      type: str
    qemu_version:
      description: The version of the QEMU that it last ran with.
      type: str
    directory:
      description: Where its files are.
      type: str
    sockets:
      description:
        - Paths by use. C(monitor) is QMP for the user's own tools, C(serial) the console, C(agent) the guest agent's channel.
        - C(vnc) or C(spice) is the screen, where it has one.
      type: dict
    forwards:
      description: Each port of the host that leads to the guest.
      type: list
      elements: dict
    cid:
      description: The guest's address for vsock, made once. Null without O(vsock).
      type: int
    labels:
      description: O(labels).
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
    labels: {}
"""

from ansible_collections.maqet.qemu.plugins.module_utils._engine import Engine
from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, diff, fail, run
from ansible_collections.maqet.qemu.plugins.module_utils._plan.wish import Wish
from ansible_collections.maqet.qemu.plugins.module_utils._spec.arguments import ARGUMENTS
from ansible_collections.maqet.qemu.plugins.module_utils._spec.given import given

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
    "recreate": {"type": "list", "elements": "str", "default": []},
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
        "diff": diff(module, name, outcome),
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
    run(reconcile, {"name": {"type": "str", "required": True}, **POLICY, **ARGUMENTS})


if __name__ == "__main__":
    main()
