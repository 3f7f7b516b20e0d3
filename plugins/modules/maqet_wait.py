#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_wait
short_description: Wait for what a machine or its guest does
version_added: 0.1.0
description:
  - Waits until a machine meets conditions, such as a port that answers, a line on its serial console, or a QMP event.
  - What has happened before the task counts too, from its guest's last start on, unless O(since) says otherwise. QEMU records each event
    itself, with nobody attached.
  - What can come true no more ends the task at once, such as a condition of a guest whose machine stopped or stands still. An error
    says what was seen last.
  - Nothing is held while the task waits. Other tasks can work on the machine.
options:
  name:
    description:
      - The machine's name.
    type: str
    required: true
  conditions:
    description:
      - What to wait for. Each item has one of these keys, and may have a C(timeout) of its own.
      - These are the items of C(ready) in a lab file too.
    type: list
    elements: dict
    required: true
    suboptions:
      status:
        description:
          - What the machine is, in QEMU's words. Here V(stopped) is one whose QEMU has ended and is not about to be started again,
            and V(suspended) one whose guest sleeps or whose memory was saved.
        type: str
        choices: [running, paused, stopped, suspended, shutdown, io-error, internal-error, guest-panicked, watchdog]
      agent:
        description: Whether the guest's agent answers. Only V(true) is something to wait for.
        type: bool
      port:
        description:
          - A TCP port of the guest that answers, such as V(22). It is reached by a forward, or by the address of a card on a network of the host.
          - "Or a dictionary: C(guest) is the port, and C(address) an address of the guest that the hypervisor reaches, such as
            V({guest: 80, address: 192.168.7.10})."
          - "With V({guest: 80, from: guest}) the guest's agent looks whether anything listens there, so that no way in is needed. It
            reads C(/proc/net/tcp), which only Linux has."
        type: raw
      serial:
        description: "A regular expression of Python that a line of the serial console matches, such as V('login: $')."
        type: str
      screen:
        description:
          - "A regular expression of Python that the text on the machine's first screen matches, such as V('Welcome'). C(^) and C($) fit at the begin and
            the end of its lines."
          - The program C(tesseract) reads it, in English and not always rightly. A word is better looked for than a line.
        type: str
      event:
        description:
          - A QMP event, such as V(SHUTDOWN).
          - "Or a dictionary: C(name), C(match) with keys that its data must have with these values, and C(count), how many of them must come.
            For example V({name: RESET, match: {guest: true}, count: 2})."
        type: raw
      cloud_init:
        description: Whether cloud-init is done in the guest. The task fails with cloud-init's own words when it failed.
        type: str
        choices: [done]
      command:
        description: A program that succeeds in the guest, with its arguments, such as V([systemctl, is-active, nginx]).
        type: list
        elements: str
      address:
        description: Whether the guest has an address on one of the machine's cards, as its agent tells. Only V(true) is something to wait for.
        type: bool
      job:
        description:
          - A background job of QEMU that is finished, by its id, such as V(backup0). The task fails with QEMU's words when the job failed.
          - One of that id that ended before counts too. With O(since=now) it does not.
        type: str
      timeout:
        description: Seconds for this condition, such as V(60). O(timeout) when left out.
        type: float
  match:
    description:
      - Whether V(all) conditions must be met at once, or V(any) of them.
    type: str
    choices: [all, any]
    default: all
  since:
    description:
      - From where on events and the serial console count. V(start) is the guest's last start before the task, V(now) is the task's begin.
      - Or a time, such as V(2026-03-01T12:00:00Z) or seconds since 1970. Events are counted through several starts of the machine then,
        the console from the guest's last start on.
      - Or a cursor, such as the C(cursor) of an event that an earlier task found, or of a machine in M(maqet.qemu.maqet_vm_info).
      - It says nothing of other conditions, which are about how things are.
    type: str
    default: start
  timeout:
    description:
      - Seconds until the task gives up.
    type: float
    default: 300
extends_documentation_fragment:
  - maqet.qemu.attributes
requirements:
  - tesseract and Pillow (for O(conditions[].screen))
attributes:
  check_mode:
    support: full
    details: Looks once, runs nothing in the guest, and does not fail for what is not met or for a machine that is yet to be declared.
  diff_mode:
    support: N/A
    details: This module does not modify state.
seealso:
  - module: maqet.qemu.maqet_vm
  - module: maqet.qemu.maqet_qmp
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: Wait until the guest can be logged in to
  maqet.qemu.maqet_wait:
    name: web
    conditions:
      - port: 22
      - cloud_init: done
        timeout: 600
    timeout: 900

- name: Wait for the prompt, or for a kernel that panics
  maqet.qemu.maqet_wait:
    name: web
    match: any
    conditions:
      - serial: 'login: $'
      - event: GUEST_PANICKED
  register: boot
  failed_when: boot is failed or boot.conditions[1].met

- name: Wait for the installer's last picture
  maqet.qemu.maqet_wait:
    name: web
    conditions:
      - screen: Installation complete
    timeout: 1800

- name: Learn the guest's address
  maqet.qemu.maqet_wait:
    name: web
    conditions: [{address: true}]
  register: web

- name: Show it
  ansible.builtin.debug:
    msg: "{{ web.conditions[0].found }}"

- name: Press the power button
  maqet.qemu.maqet_qmp:
    name: web
    command: system_powerdown

- name: Wait for the guest's end, and see why it came
  maqet.qemu.maqet_wait:
    name: web
    conditions:
      - event: SHUTDOWN
      - status: stopped
  register: end
  failed_when: end is failed or end.conditions[0].found.data.reason != 'guest-shutdown'

- name: Wait until the guest has restarted itself twice since noon
  maqet.qemu.maqet_wait:
    name: web
    since: "2026-03-01T12:00:00Z"
    conditions:
      - event: {name: RESET, match: {guest: true}, count: 2}

- name: Wait for a service, seen from within
  maqet.qemu.maqet_wait:
    name: web
    conditions:
      - agent: true
      - port: {guest: 5432, from: guest}
      - command: [systemctl, is-active, postgresql]

- name: Wait for a backup
  maqet.qemu.maqet_wait:
    name: web
    since: now
    conditions:
      - job: backup0
    timeout: 3600
"""

RETURN = r"""
conditions:
  description: The conditions, in their order.
  returned: always, after a failure only those that were not met
  type: list
  elements: dict
  contains:
    condition:
      description: The condition in words.
      type: str
      sample: port 22
    met:
      description: Whether it was met. With O(match=any) one is enough.
      type: bool
      sample: true
    seen:
      description: What was seen last of one that was not met.
      type: str
      sample: the guest does not answer
    found:
      description:
        - What met it. Of V(event) the event with the C(cursor) behind it, of V(serial) and V(screen) the text, of V(address) the addresses,
          of V(command) its output, of V(port) where it answered, of V(cloud_init) what it says of itself, of V(status) and V(job) the status.
      type: raw
      sample: {event: SHUTDOWN, data: {guest: true, reason: guest-shutdown}, timestamp: {seconds: 1772366400, microseconds: 0}, cursor: '131075:4096'}
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 12.7
serial:
  description: The last lines of the serial console.
  returned: when time is up
  type: list
  elements: str
  sample: ['[    1.2] Run /init as init process']
vm:
  description: The machine. V(pid) is null when it does not run.
  returned: success
  type: dict
  sample: {name: web, uuid: 5c4d0a5e-8b5f-4b0c-9a57-2f3a3d0f6d5e, pid: 4711, directory: /home/me/.local/share/maqet/vms/web}
"""

from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, run
from ansible_collections.maqet.qemu.plugins.module_utils._spec.condition import ANY_STATUS
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import argument_spec
from ansible_collections.maqet.qemu.plugins.module_utils._wait import Wait, wait

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "conditions": {"type": "list", "elements": "dict", "required": True, "options": argument_spec(ANY_STATUS)},
    "match": {"type": "str", "choices": ["all", "any"], "default": "all"},
    "since": {"type": "str", "default": "start"},
    "timeout": {"type": "float", "default": 300},
}


def await_conditions(module: Module, check: bool) -> dict:
    answer = wait(Wait(**module.params), check=check)
    return {"changed": False, **answer._asdict()}


def main() -> None:
    run(await_conditions, ARGUMENTS)


if __name__ == "__main__":
    main()
