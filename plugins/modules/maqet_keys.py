#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_keys
short_description: Type on a machine's keyboard
version_added: 0.1.0
description:
  - Strikes chords such as V(ctrl-alt-f2), or types a text, on the keyboard that the guest has, whatever its screen shows. The
    guest needs no network and no agent for it.
  - It is typed no faster than the guest takes it, so that nothing is dropped.
options:
  name:
    description:
      - The machine's name.
    type: str
    required: true
  keys:
    description:
      - Chords, struck one after the other. The keys of one are joined by C(-), the last one is struck while the others are held,
        such as V([ctrl-alt-f2, enter]).
      - Keys have QEMU's names, such as V(ret), V(f10) or V(kp_enter), and those that are usual, such as V(enter), V(del), V(win) or V(altgr).
        One character is the key that has it in O(layout).
      - Give this or O(text).
    type: list
    elements: str
  text:
    description:
      - "A text to type, such as V(root\n). A new line is Enter, a tab is Tab."
    type: str
  layout:
    description:
      - The layout that the guest has set for its keyboard, such as V(de).
      - With V(de) a space follows keys that are dead there, V(de-deadtilde) has the tilde dead as well, V(de-nodeadkeys) none.
      - V(fr) has no dead keys for ASCII, V(fr-deadkeys) is that of Windows.
    type: str
    choices: [us, gb, de, de-deadtilde, de-nodeadkeys, fr, fr-deadkeys]
    default: us
  interval:
    description:
      - Seconds from one stroke to the next, such as V(0.2) for a program that is slow to read. What the keyboard takes when left out.
    type: float
  no_log:
    description:
      - Show nobody what is typed, such as V(true).
    type: bool
    default: false
  timeout:
    description:
      - Seconds for another task to leave the keyboard.
    type: float
    default: 30
extends_documentation_fragment:
  - maqet.qemu.attributes
attributes:
  check_mode:
    support: full
    details: The keys are checked, and that the machine runs. Nothing is typed.
  diff_mode:
    support: none
seealso:
  - module: maqet.qemu.maqet_console
  - module: maqet.qemu.maqet_screenshot
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: Go to the second terminal
  maqet.qemu.maqet_keys:
    name: web
    keys: [ctrl-alt-f2]

- name: Log in there, on a German keyboard
  maqet.qemu.maqet_keys:
    name: web
    text: "root\n"
    layout: de

- name: Type the password, which nobody sees
  maqet.qemu.maqet_keys:
    name: web
    text: "{{ root_password }}\n"
    layout: de
    no_log: true

- name: Choose the third entry of a boot menu that is slow
  maqet.qemu.maqet_keys:
    name: web
    keys: [down, down, enter]
    interval: 0.3
    timeout: 60
"""

RETURN = r"""
strokes:
  description: How often keys were struck, a chord as one.
  returned: success
  type: int
  sample: 5
vm:
  description: The machine, as M(maqet.qemu.maqet_vm) returns it.
  returned: success
  type: dict
  sample:
    name: web
    pid: 4711
"""

from ansible_collections.maqet.qemu.plugins.module_utils._keys import Typing, strike
from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, run
from ansible_collections.maqet.qemu.plugins.module_utils._spec.keyboard import concealed

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "keys": {"type": "list", "elements": "str", "no_log": False},
    "text": {"type": "str"},
    "layout": {"type": "str", "choices": ["us", "gb", "de", "de-deadtilde", "de-nodeadkeys", "fr", "fr-deadkeys"], "default": "us"},
    "interval": {"type": "float"},
    "no_log": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 30},
}


def type_them(module: Module, check: bool) -> dict:
    params = module.params
    wish = Typing(params["name"], params["keys"] or (), params["text"], params["layout"], params["interval"], params["timeout"])
    typed = strike(wish, check=check)
    return {"changed": typed.strokes > 0, "strokes": typed.strokes, "vm": typed.vm}


def main() -> None:
    run(type_them, ARGUMENTS, concealed, mutually_exclusive=[("keys", "text")], required_one_of=[("keys", "text")])


if __name__ == "__main__":
    main()
