#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_vm_info
short_description: What is known of machines
version_added: 0.1.0
description:
  - Returns machines of the calling user as declared, as applied to the running QEMU, and as observed, with the drift
    between the last two.
  - A machine that does not answer is reported V(unresponsive) and holds no other up.
options:
  name:
    description:
      - Names of machines. All when left out. A machine that does not exist is left out of the answer.
    type: list
    elements: str
  lab:
    description:
      - Only machines of this lab, whether a lab file made them or their label C(lab) says so. All when left out. For example V(shop).
    type: str
  labels:
    description:
      - Only machines that have each of these labels with this value.
    type: dict
  brief:
    description:
      - Whether to tell only what is stored and whether QEMU lives. Neither QEMU nor systemd is asked, which is a matter of milliseconds
        for hundreds of machines.
      - Each item has then C(name), C(uuid), C(status), C(pid), C(lab), C(labels), C(forwards), C(networks), C(addresses), C(macs),
        C(guest_agent), C(sockets), C(cid), C(unit) and C(directory). C(status) is never V(unresponsive) or V(busy).
      - This is what the inventory plugin P(maqet.qemu.maqet#inventory) asks for.
    type: bool
    default: false
  events:
    description:
      - How many of the last QMP events of each machine to return. 10 when left out, or all with O(events_since).
    type: int
  events_since:
    description:
      - Only events from there on. V(start) is the guest's last start. A time is such as V(2026-03-01T12:00:00Z) or seconds since 1970.
      - Or a cursor, the C(cursor) of a machine or of an event in an earlier result. What comes after it is returned, nothing twice and
        nothing left out.
    type: str
  metrics:
    description:
      - Whether to return what each machine has used. It takes about 4 ms more for each machine, and longer where an agent answers.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that a machine's monitor may take to answer.
    type: float
    default: 5
extends_documentation_fragment:
  - maqet.qemu.attributes
  - maqet.qemu.attributes.info
seealso:
  - module: maqet.qemu.maqet_vm
  - plugin: maqet.qemu.maqet
    plugin_type: inventory
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: Every machine of this user
  maqet.qemu.maqet_vm_info:
  register: all

- name: Names of those that run
  ansible.builtin.debug:
    msg: "{{ all.vms | selectattr('status', 'eq', 'running') | map(attribute='name') }}"

- name: One machine and its last 50 events
  maqet.qemu.maqet_vm_info:
    name: [web]
    events: 50
    timeout: 2

- name: What has happened since that task
  maqet.qemu.maqet_vm_info:
    name: [web]
    events_since: "{{ all.vms[0].cursor }}"

- name: Machines whose guest panicked, or whose QEMU crashed
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.troubles[-1].what }}"
  loop: "{{ all.vms | selectattr('troubles') }}"

- name: What machines have used so far
  maqet.qemu.maqet_vm_info:
    metrics: true
    events: 0
  register: used

- name: Processor time by machine
  ansible.builtin.debug:
    msg: "{{ dict(used.vms | map(attribute='name') | zip(used.vms | map(attribute='metrics.cpu_seconds', default=0))) }}"

- name: Machines of a role
  maqet.qemu.maqet_vm_info:
    labels:
      role: database

- name: All machines of a lab, at a glance
  maqet.qemu.maqet_vm_info:
    lab: shop
    brief: true
"""

RETURN = r"""
vms:
  description: One item a machine, by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The machine's name.
      type: str
      sample: web
    status:
      description: V(stopped), V(suspended), V(unresponsive), V(busy) (a task works on it), or QEMU's own word (V(running), V(paused), V(io-error), …).
      type: str
      sample: running
    lab:
      description: The lab that it belongs to; empty when none.
      type: str
      sample: shop
    networks:
      description: What each network card is connected to, by the card's name.
      returned: with O(brief=true)
      type: dict
      sample: {lan: bridge, out: user}
    addresses:
      description: The addresses that the declaration gives to cards, by the card's name.
      returned: with O(brief=true)
      type: dict
      sample: {lan: 192.168.7.10}
    busy:
      description: The task that works on the machine, if any.
      type: str
      sample: pid 4711 (maqet_vm) since 12:00:00
    declared:
      description: The whole declaration, defaults included.
      type: dict
      sample: {memory: 1GiB, cpus: 2}
    applied:
      description: The same, as the running QEMU has it. Null when it does not run.
      type: dict
      sample: {memory: 512MiB, cpus: 2}
    observed:
      description: What was seen. V(spec) is the declaration that is really in force, as QEMU and systemd say.
      type: dict
      sample: {status: running, pid: 4711, missing_disks: [], why: '', spec: {memory: 512MiB, cpus: 2}}
    disks:
      description:
        - The files of the disks. V(base) is what an overlay lies on; its V(newer) says that the image's name stands for another content
          by now, which C(recreate) of M(maqet.qemu.maqet_vm) would give the disk.
      type: list
      elements: dict
      sample:
        - name: root
          file: /home/me/.local/share/maqet/vms/web/root.qcow2
          format: qcow2
          size: 10737418240
          base: {image: debian-12, file: /home/me/.cache/maqet/images/5e1c….qcow2, content: 5e1c…, newer: false}
    drift:
      description: What differs from what was applied though nobody declared it. The next M(maqet.qemu.maqet_vm) puts it right where it can.
      type: list
      elements: dict
      contains:
        path:
          description: The option, V(state), or V(argv) for a QEMU that somebody else started.
          type: str
          sample: disks[cd].path
        applied:
          description: As it was left by the last task.
          type: raw
          sample: /srv/images/setup.iso
        observed:
          description: As it is.
          type: raw
        by:
          description: V(guest) for what the guest did itself, such as to power off or to eject, else V(host).
          type: str
          sample: guest
    pending_restart:
      description: Paths of options that wait for the next start.
      type: list
      elements: str
      sample: [memory]
    pending_reasons:
      description: Why those of them wait that could have changed live.
      type: list
      elements: str
      sample: ["memory: the machine was started without max_memory"]
    snapshots:
      description: Its snapshots, oldest first. One that is not complete was cut off; V(present) takes it again, V(absent) removes it.
      type: list
      elements: dict
      sample: [{name: before-upgrade, created: '2026-03-01T12:00:00.000Z', ram: false, status: running, quiesced: true, complete: true, disks: [root]}]
    service:
      description: What the supervisor says, in systemd's words.
      type: dict
      sample: {state: active, NRestarts: '0', Result: success}
    process:
      description: The QEMU process, with the hardening that is in force.
      type: dict
      sample: {no_new_privileges: true, seccomp: true, umask: '0077', memory_rss: 73400320}
    argv:
      description: The exact command line of the last start.
      type: list
      elements: str
      sample: [/usr/bin/qemu-system-x86_64, -name, 'guest=web,debug-threads=on']
    events:
      description: The last QMP events, oldest first, each with its machine and the C(cursor) behind it.
      type: list
      elements: dict
      sample:
        - event: RESET
          data: {guest: true, reason: guest-reset}
          timestamp: {seconds: 1772366400, microseconds: 0}
          vm: web
          lab: shop
          labels: {role: web}
          cursor: '131075:4096'
    metrics:
      description: What the machine has used since QEMU's start. Null when it does not run, does not answer, or a task works on it.
      returned: with O(metrics=true)
      type: dict
      contains:
        uptime_seconds:
          description: Since QEMU was started.
          type: float
          sample: 86400.25
        cpu_seconds:
          description: Processor time of QEMU with all its threads.
          type: float
          sample: 512.75
        restarts:
          description: How often systemd has started it again since a task started it. Null without systemd.
          type: int
          sample: 0
        memory:
          description:
            - Bytes. V(size) is what the guest was given, V(balloon) what it may use of that, V(resident) and V(swapped) what QEMU has on the host.
            - V(guest_total) and V(guest_available) are the guest's own view, where its agent tells and it is Linux.
          type: dict
          sample: {size: 1073741824, balloon: 1073741824, resident: 412000256, swapped: 0, guest_total: 1010000000, guest_available: 702000000}
        disks:
          description: Counters by the disk's name.
          type: dict
          sample:
            root:
              read_bytes: 41943040
              write_bytes: 8388608
              read_operations: 1024
              write_operations: 256
              flush_operations: 12
              failed_read_operations: 0
              failed_write_operations: 0
              read_seconds: 0.7
              write_seconds: 0.2
        nics:
          description: Counters by the card's name, seen from the guest, as its agent tells. Empty without an agent.
          type: dict
          sample:
            lan:
              receive_bytes: 1048576
              transmit_bytes: 65536
              receive_packets: 900
              transmit_packets: 700
              receive_errors: 0
              transmit_errors: 0
              receive_dropped: 0
              transmit_dropped: 0
        load:
          description: The guest's load over 1, 5 and 15 minutes, as its agent tells. Null without one.
          type: list
          elements: float
          sample: [0.12, 0.08, 0.02]
    cursor:
      description: Where the next event will stand, for O(events_since).
      type: str
      sample: '131075:4096'
    troubles:
      description:
        - What went wrong, oldest first, as far back as the recorder reaches. V(what) is V(crash) of QEMU, V(panic), V(watchdog), V(io-error) or
          V(memory-failure). V(time) is in seconds since 1970, and V(data) that of the QMP event.
        - A crash is a QEMU that ended without a word. Its time is when it last said something.
      type: list
      elements: dict
      sample: [{what: panic, time: 1772366400.5, cursor: '131075:4096', data: {action: pause}}]
"""

from ansible_collections.maqet.qemu.plugins.module_utils._host.glance import Choice, glance
from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, run

ARGUMENTS = {
    "name": {"type": "list", "elements": "str"},
    "lab": {"type": "str"},
    "labels": {"type": "dict"},
    "brief": {"type": "bool", "default": False},
    "events": {"type": "int"},
    "events_since": {"type": "str"},
    "metrics": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 5},
}


def answer(module: Module, check: bool) -> dict:
    params = module.params
    choice = Choice(params["name"], params["lab"], params["labels"])
    if params["brief"]:
        vms, warnings = glance(choice)
    else:
        from ansible_collections.maqet.qemu.plugins.module_utils._survey import Question, survey

        vms, warnings = survey(Question(choice, params["events"], params["timeout"], params["events_since"] or "", params["metrics"]))
    return {"changed": False, "vms": vms, "warnings": warnings}


def main() -> None:
    run(answer, ARGUMENTS)


if __name__ == "__main__":
    main()
