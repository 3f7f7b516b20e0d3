#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_console
short_description: Sit at a machine's serial console
version_added: 0.1.0
description:
  - Waits for what the guest says on its serial console, types, logs in and runs commands there, step by step. The guest
    needs no network, no agent and no Python for it.
  - What the guest said before the task is read as well, from where the last task at this console ended. Nothing is missed
    between two tasks, or while nobody is there.
  - Escape sequences and carriage returns are taken out of what is read.
options:
  name:
    description:
      - The machine's name.
    type: str
    required: true
  steps:
    description:
      - What is done, in order. The first that does not succeed ends the task.
      - Each has one of O(steps[].expect), O(steps[].send), O(steps[].run) and O(steps[].login).
    type: list
    elements: dict
    required: true
    suboptions:
      expect:
        description:
          - "Wait for this regular expression of Python, such as V(login: $). C(^) and C($) fit at the begin and the end
            of lines."
          - What was read up to the end of it is behind us for the next step.
        type: str
      answers:
        description:
          - "While waiting for O(steps[].expect), what to type when a regular expression fits, as often as it does, such as
            V({'Continue.*': yes})."
        type: dict
      fail_on:
        description:
          - While waiting for O(steps[].expect), a regular expression that ends the task at once, such as V(Kernel panic).
        type: str
      send:
        description:
          - A text to type, such as V(ls /), and Enter after it. The step is done when the guest has taken all of it.
          - Other keys are control characters in YAML's double quotes, such as C(\x03) for Ctrl-C.
        type: str
      enter:
        description:
          - Whether Enter follows O(steps[].send), such as V(false). It does when left out.
        type: bool
      run:
        description:
          - A command for the POSIX shell that waits there, such as V(uname -r). Its output and exit code are returned; another
            exit code than 0 ends the task.
        type: str
      login:
        description:
          - Log in where C(login:) is asked. Where nothing has come for 5 seconds, Enter is pressed once. A shell that somebody
            left open is taken as it is.
        type: dict
        suboptions:
          user:
            description: Who, such as V(root).
            type: str
            required: true
          password:
            description: The password, such as V({{ root_password }}), if one is asked for. It is shown nowhere.
            type: str
          prompt:
            description: "This user's prompt, such as V('~ # $'). O(prompt) when left out."
            type: str
      timeout:
        description: Seconds for this step, such as V(300). O(timeout) when left out.
        type: float
      no_log:
        description: Show nobody what this step sends and sees, such as V(true).
        type: bool
  prompt:
    description:
      - A regular expression for what a shell prints before it waits for a command. C(\Z) is the end of what has come.
    type: str
    default: '[#$%>] ?\Z'
  since:
    description:
      - From where on is read.
      - V(last) goes on where the last task at this console ended, and after a start of the guest at its start.
      - V(start) reads all since the guest's start once more, V(now) only what comes from now on.
    type: str
    choices: [last, start, now]
    default: last
  timeout:
    description:
      - Seconds for each step that says no other, and for another client to leave the console.
    type: float
    default: 60
extends_documentation_fragment:
  - maqet.qemu.attributes
requirements:
  - pexpect >= 4.8
attributes:
  check_mode:
    support: full
    details: The steps are checked, and that the machine runs. Nothing is sent and nothing awaited.
  diff_mode:
    support: none
notes:
  - QEMU serves one client of the console at a time. Tasks of this collection wait for one another; another client is named in
    the error.
  - The machine's C(serial.log) has all that the guest says, also while a task is at the console. It is readable by its owner alone.
seealso:
  - module: maqet.qemu.maqet_keys
  - module: maqet.qemu.maqet_screenshot
  - module: maqet.qemu.maqet_wait
  - module: ansible.builtin.expect
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: Wait for the guest, log in and look
  maqet.qemu.maqet_console:
    name: web
    steps:
      - login: {user: root, password: "{{ root_password }}"}
        timeout: 300
      - run: uname -r
  register: console

- name: Say what runs there
  ansible.builtin.debug:
    msg: "{{ console.steps[1].output }}"

- name: Give an installer what it asks for
  maqet.qemu.maqet_console:
    name: router
    timeout: 120
    since: start
    steps:
      - expect: 'Installation finished'
        answers:
          'Continue\? \[y/N\] ': 'y'
          'Hostname: ': router
        fail_on: 'Kernel panic|No such disk'
        timeout: 1800
      - send: "\x03"
        enter: false
      - expect: 'router:~# $'

- name: Set a password that nobody sees
  maqet.qemu.maqet_console:
    name: web
    prompt: 'web:.*# \Z'
    steps:
      - run: "echo 'root:{{ new_password }}' | chpasswd"
        no_log: true

- name: Log in as somebody whose shell is unusual
  maqet.qemu.maqet_console:
    name: switch
    steps:
      - login: {user: admin, password: "{{ admin_password }}", prompt: 'switch> ?$'}
      - send: show version
      - expect: 'Version (\S+)'
"""

RETURN = r"""
steps:
  description:
    - What each step saw, in order. When the task fails, those before the one that did.
    - Steps with O(steps[].no_log) show nothing.
  returned: always
  type: list
  elements: dict
  contains:
    step:
      description: What was done.
      type: str
      sample: run 'uname -r'
    seconds:
      description: How long it took.
      type: float
      sample: 0.214
    seen:
      description: All that was read up to the end of what was awaited.
      returned: for expect and login
      type: str
    match:
      description: What fits O(steps[].expect).
      returned: for expect
      type: str
      sample: Version 12.1
    groups:
      description: The groups of O(steps[].expect).
      returned: for expect
      type: list
      elements: str
      sample: ["12.1"]
    named:
      description: Its named groups.
      returned: for expect
      type: dict
      sample: {}
    answered:
      description: Which of O(steps[].answers) were given, in order.
      returned: for expect
      type: list
      elements: str
      sample: []
    output:
      description: What the command printed.
      returned: for run
      type: str
      sample: "6.1.0-28-amd64\n"
    rc:
      description: Its exit code.
      returned: for run
      type: int
      sample: 0
    already:
      description: Whether a shell was open there.
      returned: for login
      type: bool
      sample: false
serial:
  description: The console's last 40 lines.
  returned: failure of a step
  type: list
  elements: str
vm:
  description: The machine, as M(maqet.qemu.maqet_vm) returns it.
  returned: success
  type: dict
  sample:
    name: web
    pid: 4711
"""

from ansible_collections.maqet.qemu.plugins.module_utils._console import Conversation, converse
from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, run
from ansible_collections.maqet.qemu.plugins.module_utils._spec.console import PROMPT, concealed

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "steps": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "expect": {"type": "str"},
            "answers": {"type": "dict"},
            "fail_on": {"type": "str"},
            "send": {"type": "str"},
            "enter": {"type": "bool"},
            "run": {"type": "str"},
            "login": {
                "type": "dict",
                "options": {
                    "user": {"type": "str", "required": True},
                    "password": {"type": "str", "no_log": True},
                    "prompt": {"type": "str"},
                },
            },
            "timeout": {"type": "float"},
            "no_log": {"type": "bool"},
        },
    },
    "prompt": {"type": "str", "default": PROMPT},
    "since": {"type": "str", "choices": ["last", "start", "now"], "default": "last"},
    "timeout": {"type": "float", "default": 60},
}


def sit(module: Module, check: bool) -> dict:
    params = module.params
    told = converse(Conversation(params["name"], params["steps"], params["timeout"], params["prompt"], params["since"]), check=check)
    return {"changed": told.changed, "steps": told.steps, "vm": told.vm}


def main() -> None:
    run(sit, ARGUMENTS, concealed)


if __name__ == "__main__":
    main()
