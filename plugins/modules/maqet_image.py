#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_image
short_description: Images that disks can lie on
version_added: 0.1.0
description:
  - Fetches an image, verifies it, unpacks it (xz, gz, bz2, zst), converts it to qcow2 and keeps it in the image cache under a name.
    Disks of O(maqet.qemu.maqet_vm#module:disks[].image) lie on it.
  - A download that was cut off goes on where it ended, also in a later task. Tasks that want the same image at the same time fetch it once.
  - The cache holds contents by their SHA-256, and names that point at them. An image that changed at its URL is another content.
    Disks keep the one that they lie on.
  - An image whose header names other files, such as a backing file, is refused. This is how an image reads files of its host.
options:
  image:
    description:
      - The image's name, such as V(debian-12).
      - May be left out with O(prune) alone.
    type: str
  url:
    description:
      - Where the image is, V(https://…) or V(http://…). Give this, O(path) or O(vm).
      - Proxies and C(.netrc) are used as in M(ansible.builtin.get_url).
      - An image without O(checksum) that is here is not asked for again, unless O(force) says so.
    type: str
  path:
    description:
      - A file of the host that runs the module. It is read once, and again when its size, its time of change or its inode is another.
    type: path
  vm:
    description:
      - A machine of this host, whose O(disk) becomes the image, with all that it lies on, in one file. For example V(builder).
      - The machine must not run, so that its data is whole. A disk that was written to since is another content, and the next task
        makes it the image. Disks that lie on the old one keep it.
      - What a guest has of its own (host keys, C(machine-id), cloud-init's memory) is in the image too. Remove it there before.
    type: str
  disk:
    description:
      - The disk of O(vm), such as V(root).
    type: str
  checksum:
    description:
      - The sum of the file as it comes, packed or not. V(sha256:) or V(sha512:), then the sum itself, or the URL of a file of sums such as
        C(SHA256SUMS), where the file's name in O(url) is looked up.
      - Needed when O(url) is plain C(http). With C(https) it may be left out. The server's certificate then says whose file it is.
      - With the sum itself nobody is asked when the image is here. A file of sums is asked for in every run, and says when there is a newer image.
    type: str
  verify:
    description:
      - V(false) takes an image over plain C(http) without O(checksum). A checksum that is given is verified all the same.
    type: bool
    default: true
  format:
    description:
      - What the file is, once unpacked. What its first bytes say when left out.
      - With V(raw) nothing in the image is taken for a header. The others are refused when the file is something else.
    type: str
    choices: [qcow2, raw, vmdk, vdi, vhdx, vpc]
  force:
    description:
      - Ask the server whether an image without O(checksum) is another one now, or read O(path) or O(disk) again.
    type: bool
    default: false
  state:
    description:
      - V(present) sees that the name points at the image.
      - V(absent) removes the name, and the content unless a disk or another name needs it.
    type: str
    choices: [present, absent]
    default: present
  prune:
    description:
      - Also remove every content that no name and no disk needs, and what is left of downloads that were cut off.
    type: bool
    default: false
  timeout:
    description:
      - Seconds for all of it, also for waiting until another task has fetched the image.
    type: float
    default: 1800
extends_documentation_fragment:
  - maqet.qemu.attributes
attributes:
  check_mode:
    support: full
    details: Servers are asked for sums and for the size of what would be fetched.
  diff_mode:
    support: full
seealso:
  - module: maqet.qemu.maqet_vm
  - module: maqet.qemu.maqet_archive
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: Debian 12, the newest
  maqet.qemu.maqet_image:
    image: debian-12
    url: https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2
    checksum: sha512:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS

- name: An image of one's own, packed
  maqet.qemu.maqet_image:
    image: golden
    path: /srv/images/golden.raw.xz
    format: raw

- name: What a machine has become
  maqet.qemu.maqet_image:
    image: debian-12-with-nginx
    vm: builder
    disk: root

- name: Remove it, and whatever else nobody needs
  maqet.qemu.maqet_image:
    image: golden
    state: absent
    prune: true

- name: Only tidy up
  maqet.qemu.maqet_image:
    prune: true
"""

RETURN = r"""
image:
  description: The image as it is afterwards. In check mode what is not known yet is null. Empty when it is absent.
  returned: always
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: debian-12
    content:
      description: SHA-256 of the file as it came.
      type: str
      sample: 1b7af784841125887e688254229e282829e17245d0e47fe7280da9b68a30d9e1
    file:
      description: The file in the cache. Nobody writes to it.
      type: str
      sample: /home/me/.cache/maqet/images/1b7af784841125887e688254229e282829e17245d0e47fe7280da9b68a30d9e1.qcow2
    format:
      description: Its format, always V(qcow2).
      type: str
      sample: qcow2
    virtual_size:
      description: The size that a guest sees, in bytes.
      type: int
      sample: 2147483648
    source_format:
      description: What it was converted from. Empty when it is not known.
      type: str
      sample: raw
    checksum:
      description: The checksum as it was given.
      type: str
      sample: null
    source:
      description: Its URL or path.
      type: str
      sample: https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2
    fetched:
      description: When it came, in UTC.
      type: str
      sample: "2026-01-31T12:00:00Z"
actions:
  description: What was done, in order. In check mode what would be done.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: V(fetch), V(flatten) (a machine's disk), V(name) (what is in the cache already gets the name), V(remove) or V(prune).
      type: str
      sample: fetch
    summary:
      description: The same for people.
      type: str
      sample: fetch https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2
removed:
  description: Files of the cache that were removed. In check mode those that would be.
  returned: always
  type: list
  elements: str
  sample: []
"""

from ansible_collections.maqet.qemu.plugins.module_utils._images import Wanted, manage
from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, diff, run
from ansible_collections.maqet.qemu.plugins.module_utils._spec.image import Source

ARGUMENTS = {
    "image": {"type": "str"},
    "url": {"type": "str"},
    "path": {"type": "path"},
    "vm": {"type": "str"},
    "disk": {"type": "str"},
    "checksum": {"type": "str"},
    "verify": {"type": "bool", "default": True},
    "format": {"type": "str", "choices": ["qcow2", "raw", "vmdk", "vdi", "vhdx", "vpc"]},
    "force": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "prune": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 1800},
}


def work(module: Module, check: bool) -> dict:
    params = module.params
    source = params["image"] and Source(params["image"], *(params[key] for key in Source._fields[1:]))
    policy = (params["prune"], params["force"], params["timeout"], params["vm"], params["disk"])
    result = manage(Wanted(source or None, params["state"] == "absent", *policy), check=check)
    return {
        "changed": result.changed,
        "image": result.image,
        "actions": result.actions,
        "removed": result.removed,
        "diff": diff(module, result.name, result),
    }


def main() -> None:
    run(work, ARGUMENTS, mutually_exclusive=[("url", "path", "vm")], required_together=[("vm", "disk")])


if __name__ == "__main__":
    main()
