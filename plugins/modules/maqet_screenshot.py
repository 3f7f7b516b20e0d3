#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_screenshot
short_description: Take a picture of a machine's screen
version_added: 0.1.0
description:
  - Saves a screen as PNG on the host that runs the machine, compares it with a reference, reads the words on it. Give at least one of
    O(path), O(compare) and O(text).
  - The machine needs no display for it, a video device is enough. One that is paused can be looked at too.
options:
  name:
    description:
      - The machine's name.
    type: str
    required: true
  path:
    description:
      - Where the picture goes, on the host that runs the machine, such as V(/tmp/web.png). Its directory has to be there.
        M(ansible.builtin.fetch) brings it to the controller.
      - A screen that looks as it did is not changed; one on which only a cursor blinks looks the same.
    type: path
  device:
    description:
      - The id of the video device, such as V(video). The first screen when left out.
    type: str
  head:
    description:
      - Which screen of O(device), such as V(1).
    type: int
  compare:
    description:
      - What the screen has to look like. The task fails when it does not.
    type: dict
    suboptions:
      reference:
        description: A picture on the host that runs the machine, such as V(/srv/references/desktop.png).
        type: path
        required: true
      mask:
        description:
          - "Areas that do not count, such as V([{x: 0, y: 0, width: 200, height: 16}]) for a clock."
        type: list
        elements: dict
        default: []
        suboptions:
          x:
            description: Pixels from the left, such as V(0).
            type: int
            required: true
          y:
            description: Pixels from the top, such as V(0).
            type: int
            required: true
          width:
            description: Its width, such as V(200).
            type: int
            required: true
          height:
            description: Its height, such as V(16).
            type: int
            required: true
      tolerance:
        description: How many percent of the pixels that count may differ, such as V(0.5).
        type: float
        default: 0
      color_tolerance:
        description: How much each of a pixel's colours may differ, from 0 to 255, such as V(8).
        type: int
        default: 0
      timeout:
        description: Seconds to wait until it looks like that, such as V(60).
        type: float
        default: 0
  text:
    description:
      - Whether to read the words on the screen, by C(tesseract), such as V(true).
    type: bool
    default: false
  language:
    description:
      - The language of O(text), as C(tesseract) calls it, such as V(deu).
    type: str
    default: eng
  timeout:
    description:
      - Seconds for the lock, the monitor and for reading.
    type: float
    default: 30
extends_documentation_fragment:
  - maqet.qemu.attributes
requirements:
  - Pillow >= 9.0 (for O(compare) and O(text))
  - tesseract (for O(text))
attributes:
  check_mode:
    support: full
    details: The screen is looked at, compared and read. No file is written.
  diff_mode:
    support: none
seealso:
  - module: ansible.builtin.fetch
  - module: maqet.qemu.maqet_keys
  - module: maqet.qemu.maqet_wait
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: Take a picture
  maqet.qemu.maqet_screenshot:
    name: web
    path: /tmp/web.png
  register: screen

- name: Bring it to the controller
  ansible.builtin.fetch:
    src: "{{ screen.path }}"
    dest: web.png
    flat: true

- name: Wait for a word on the screen
  maqet.qemu.maqet_screenshot:
    name: web
    text: true
    language: eng
    timeout: 60
  register: screen
  until: "'login:' in screen.text"
  retries: 30
  delay: 2

- name: Wait for the desktop, whatever its clock says
  maqet.qemu.maqet_screenshot:
    name: web
    device: video
    head: 0
    compare:
      reference: /srv/references/desktop.png
      mask:
        - {x: 900, y: 0, width: 124, height: 24}
      tolerance: 0.5
      color_tolerance: 8
      timeout: 120
"""

RETURN = r"""
path:
  description: Where the picture is.
  returned: when O(path) is given
  type: str
  sample: /tmp/web.png
difference:
  description: How the screen differs from O(compare.reference), also when the task fails for it.
  returned: when O(compare) is given
  type: dict
  contains:
    percent:
      description: Of the pixels that count.
      type: float
      sample: 0.02
    area:
      description: The area around them, or nothing.
      type: dict
      sample: {x: 8, y: 16, width: 8, height: 16}
text:
  description: The words on the screen.
  returned: when O(text) is set
  type: str
  sample: "Debian GNU/Linux 12 web tty1\n\nweb login:\n"
vm:
  description: The machine, as M(maqet.qemu.maqet_vm) returns it.
  returned: success
  type: dict
  sample:
    name: web
    pid: 4711
"""

import os
import tempfile

from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, run
from ansible_collections.maqet.qemu.plugins.module_utils._screen import Shot, shown, take

_AREA = {word: {"type": "int", "required": True} for word in ("x", "y", "width", "height")}
ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "path": {"type": "path"},
    "device": {"type": "str"},
    "head": {"type": "int"},
    "compare": {
        "type": "dict",
        "options": {
            "reference": {"type": "path", "required": True},
            "mask": {"type": "list", "elements": "dict", "default": [], "options": _AREA},
            "tolerance": {"type": "float", "default": 0},
            "color_tolerance": {"type": "int", "default": 0},
            "timeout": {"type": "float", "default": 0},
        },
    },
    "text": {"type": "bool", "default": False},
    "language": {"type": "str", "default": "eng"},
    "timeout": {"type": "float", "default": 30},
}


def look(module: Module, check: bool) -> dict:
    params = module.params
    where = {name: params[name] for name in ("device", "head") if params[name] is not None}
    language = params["language"] if params["text"] else None
    taken = take(Shot(params["name"], params["path"], where, params["compare"], language, params["timeout"]))
    result = {"changed": taken.changed, "vm": taken.vm, **shown(taken)}
    if params["path"]:
        result["path"] = params["path"]
        if taken.changed and not check:
            save(module, taken.picture)
    return result


def save(module: Module, picture: bytes) -> None:
    descriptor, new = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(descriptor, "wb") as file:
        file.write(picture)
    module.atomic_move(new, module.params["path"])


def main() -> None:
    run(look, ARGUMENTS, required_one_of=[("path", "compare", "text")], required_by={"head": "device"})


if __name__ == "__main__":
    main()
