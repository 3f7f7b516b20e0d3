#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_archive
short_description: Export a machine, and import it on another host
version_added: 0.1.0
description:
  - Writes a stopped machine into a directory or one file, with its declaration, UUID, MACs, versioned machine type and PCI places,
    disks, UEFI variables and TPM. On another host it is imported as it was, stopped.
  - An export appears whole under its name or not at all. An import that was cut off is begun again by the next one.
  - Each file's SHA-256 is checked when it is imported. Nothing of an export is followed out of it, such as a link, or a file that a disk
    image names.
  - The export holds the declaration as written, with its passwords. Its files can be read by their owner alone; keep it so on the way.
options:
  name:
    description:
      - The machine's name. For an import it may be another than the one it was exported by.
      - For example V(web).
    type: str
    required: true
  path:
    description:
      - The export, an absolute path. Where it ends in C(.tar) it is one file, else a directory. The directory that holds it must exist.
      - For example V(/srv/exports/web.tar).
    type: path
    required: true
  state:
    description:
      - V(exported) writes the export. One that is there of the machine as it is now stays.
      - V(imported) makes the machine. One that is there with the same UUID stays as it is, even where it has changed since.
    type: str
    choices: [exported, imported]
    default: exported
  base:
    description:
      - What becomes of an overlay's image. With V(flatten) the disk is exported with all that it shows, and needs no image.
      - With V(include) only what differs is, and the image goes beside it. Importing puts it into the image cache, once for all disks
        that lie on it.
    type: str
    choices: [flatten, include]
    default: flatten
  compress:
    description:
      - Whether disks are compressed inside the qcow2. They are smaller, take much longer to export, and grow again where the guest writes.
    type: bool
    default: false
  force:
    description:
      - Whether V(exported) replaces an export of another machine or point. What is no export is never replaced.
    type: bool
    default: false
  new_identity:
    description:
      - Whether V(imported) makes a copy with a UUID and MACs of its own, for a machine that goes on elsewhere. Addresses, host keys
        and the TPM's secrets inside are still those of the original.
      - Without it the machine is the same. Then the original must not run any more.
    type: bool
    default: false
  timeout:
    description:
      - Seconds for all of it, the wait for the machine's lock included. For example V(7200).
    type: float
    default: 3600
notes:
  - Not exported are snapshots, media of CD-ROM drives, readonly disks by O(maqet.qemu.maqet_vm#module:disks[].path), kernels, shared directories
    and logs. Warnings name them.
  - Other disks by path are exported with what they hold. Imported they are the machine's own, and are declared with a size and no path.
  - Host ports that were V(auto) are chosen anew, UEFI firmware is found anew.
extends_documentation_fragment:
  - maqet.qemu.attributes
attributes:
  check_mode:
    support: full
    details: The sums of an export's files are not checked then.
  diff_mode:
    support: full
seealso:
  - module: maqet.qemu.maqet_vm
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: The machine is at rest
  maqet.qemu.maqet_vm:
    name: web
    state: stopped

- name: It is exported into one file
  maqet.qemu.maqet_archive:
    name: web
    path: /srv/exports/web.tar

- name: On another host it is imported
  maqet.qemu.maqet_archive:
    name: web
    path: /srv/exports/web.tar
    state: imported

- name: A nightly backup that takes the place of the last one
  maqet.qemu.maqet_archive:
    name: web
    path: /backup/web
    base: include
    compress: true
    force: true

- name: A second machine like it
  maqet.qemu.maqet_archive:
    name: web-test
    path: /srv/exports/web.tar
    state: imported
    new_identity: true
"""

RETURN = r"""
archive:
  description: The export. What is not known before it is written is null in check mode.
  returned: success
  type: dict
  contains:
    path:
      description: Where it is.
      type: str
    size:
      description: The bytes of its files together.
      type: int
    machine:
      description: The name of the machine that it is of.
      type: str
    uuid:
      description: That machine's UUID.
      type: str
    exported:
      description: When.
      type: str
    qemu_version:
      description: The QEMU that the machine last ran with there.
      type: str
    base:
      description: O(base) of its export.
      type: str
    disks:
      description: Each disk's name, file, virtual size and bytes. C(base) is the SHA-256 of the image that it lies on, or null.
      type: list
      elements: dict
    images:
      description: Images that went with it, by what they were declared as.
      type: list
      elements: dict
    snapshots_left:
      description: Snapshots that the machine had, and the export has not.
      type: list
      elements: str
  sample:
    path: /srv/exports/web.tar
    size: 1310720
    machine: web
    uuid: 6d3b7a1e-1c57-4d6c-9d3d-1a8f5d3e9c11
    exported: '2026-01-31T12:00:00Z'
    qemu_version: 7.2.22
    base: flatten
    disks:
      - {name: root, file: root.qcow2, virtual_size: 10737418240, bytes: 1310720, base: null}
    images: []
    snapshots_left: []
actions:
  description: What was done, in order. In check mode, what would be.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(export) or V(import) of one file, V(publish) (the export gets its name), V(define) (the machine is stored).
      type: str
    summary:
      description: The same in words.
      type: str
  sample:
    - action: export
      summary: export disk root
      source: /home/me/.local/share/maqet/vms/web/root.qcow2
      file: root.qcow2
vm:
  description: The machine, as M(maqet.qemu.maqet_vm) returns it.
  returned: success
  type: dict
  sample:
    name: web
    status: stopped
"""

from ansible_collections.maqet.qemu.plugins.module_utils._archive import transfer_machine
from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, diff, run
from ansible_collections.maqet.qemu.plugins.module_utils._plan.archive import Transfer

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["exported", "imported"], "default": "exported"},
    "base": {"type": "str", "choices": ["flatten", "include"], "default": "flatten"},
    "compress": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "new_identity": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 3600},
}


def move(module: Module, check: bool) -> dict:
    result = transfer_machine(Transfer(**module.params), check=check)
    return {
        "changed": result.changed,
        "archive": result.archive,
        "actions": result.actions,
        "vm": result.vm,
        "warnings": result.warnings,
        "diff": diff(module, module.params["name"], result),
    }


def main() -> None:
    run(move, ARGUMENTS)


if __name__ == "__main__":
    main()
