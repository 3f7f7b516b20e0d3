#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_qmp
short_description: Talk QMP to a running machine
version_added: 0.1.0
description:
  - Sends QMP commands through the machine's stored socket, whichever process started it.
  - All commands are checked against the running QEMU's own schema before the first is sent.
  - C(query-*) and other reads are never changed and run in check mode. All else is changed, and in check mode is
    checked and not sent.
options:
  name:
    description:
      - The machine's name.
    type: str
    required: true
  command:
    description:
      - One command of QEMU, such as V(query-status).
      - Give this or O(commands).
    type: str
  arguments:
    description:
      - Arguments of O(command).
    type: dict
  commands:
    description:
      - Several commands, sent in order in one session. The first error ends it.
    type: list
    elements: dict
    suboptions:
      execute:
        description: The command, such as V(device_del).
        type: str
        required: true
      arguments:
        description: "Its arguments, such as V({id: nic-lan})."
        type: dict
  wait_for:
    description:
      - An event that must come after the first command was sent.
    type: dict
    suboptions:
      event:
        description: The event's name, such as V(DEVICE_DELETED).
        type: str
        required: true
      match:
        description: "Keys that its data must have with these values, such as V({device: nic-lan})."
        type: dict
      timeout:
        description: Seconds to wait for it, such as V(30). O(timeout) when left out.
        type: float
  timeout:
    description:
      - Seconds for the lock, the greeting and the answers together.
    type: float
    default: 30
extends_documentation_fragment:
  - maqet.qemu.attributes
attributes:
  check_mode:
    support: full
    details: Commands that change something are checked and not sent.
  diff_mode:
    support: none
seealso:
  - module: maqet.qemu.maqet_vm
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: Ask for the status
  maqet.qemu.maqet_qmp:
    name: web
    command: query-status
  register: answer
  failed_when: answer.result.status != 'running'

- name: Save the screen
  maqet.qemu.maqet_qmp:
    name: web
    command: screendump
    arguments:
      filename: /tmp/web.png
      format: png

- name: Reset the guest and wait until it is
  maqet.qemu.maqet_qmp:
    name: web
    commands:
      - execute: system_reset
    wait_for:
      event: RESET
      match:
        guest: false
      timeout: 10
"""

RETURN = r"""
result:
  description: The last command's C(return).
  returned: when a command was sent
  type: raw
  sample:
    status: running
    running: true
results:
  description: Every sent command's C(return), in order.
  returned: always
  type: list
  elements: raw
  sample:
    - status: running
      running: true
events:
  description: Events that QEMU emitted meanwhile, oldest first.
  returned: always
  type: list
  elements: dict
  sample:
    - event: RESET
      data: {guest: false, reason: host-qmp-system-reset}
      timestamp: {seconds: 1700000000, microseconds: 0}
vm:
  description: The machine, as M(maqet.qemu.maqet_vm) returns it.
  returned: always
  type: dict
  sample:
    name: web
    pid: 4711
"""

from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, run
from ansible_collections.maqet.qemu.plugins.module_utils._spec.qmp_schema import secrets
from ansible_collections.maqet.qemu.plugins.module_utils._talk import Talk, talk

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "command": {"type": "str"},
    "arguments": {"type": "dict"},
    "commands": {
        "type": "list",
        "elements": "dict",
        "options": {"execute": {"type": "str", "required": True}, "arguments": {"type": "dict"}},
    },
    "wait_for": {
        "type": "dict",
        "options": {
            "event": {"type": "str", "required": True},
            "match": {"type": "dict"},
            "timeout": {"type": "float"},
        },
    },
    "timeout": {"type": "float", "default": 30},
}


def converse(module: Module, check: bool) -> dict:
    params = module.params
    commands = params["commands"] or [{"execute": params["command"], "arguments": params["arguments"]}]
    # Passwords travel to QEMU and come back in no result.
    module.no_log_values.update(secrets(commands))
    for command in commands:
        command["arguments"] = command["arguments"] or {}
    answer = talk(Talk(params["name"], commands, params["wait_for"], params["timeout"]), check=check)
    result = {"changed": answer.changed, "results": answer.results, "events": answer.events, "vm": answer.vm}
    if answer.results:
        result["result"] = answer.results[-1]
    return result


def main() -> None:
    run(
        converse,
        ARGUMENTS,
        mutually_exclusive=[("command", "commands")],
        required_one_of=[("command", "commands")],
        required_by={"arguments": "command"},
    )


if __name__ == "__main__":
    main()
