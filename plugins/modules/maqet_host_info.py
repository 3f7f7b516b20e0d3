#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_host_info
short_description: What this host can do for machines, and what is in the way
version_added: 0.1.0
description:
  - Looks at QEMU, accelerators, the user's systemd, tools, libraries and limits as the calling user finds them.
  - Everything that is in the way is a problem with its fix. The role P(maqet.qemu.host#role) applies most of them.
options:
  arch:
    description:
      - The guests' architecture, a target of QEMU such as V(x86_64) or V(aarch64). The host's own when left out.
    type: str
extends_documentation_fragment:
  - maqet.qemu.attributes
  - maqet.qemu.attributes.info
seealso:
  - module: maqet.qemu.maqet_vm
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: Look at the hypervisor
  maqet.qemu.maqet_host_info:
  register: hypervisor

- name: Stop here when something is in the way
  ansible.builtin.assert:
    that: hypervisor.host.problems | length == 0
    fail_msg: "{{ hypervisor.host.problems }}"

- name: Can it run aarch64 guests?
  maqet.qemu.maqet_host_info:
    arch: aarch64
"""

RETURN = r"""
host:
  description: The host as the calling user finds it.
  returned: always
  type: dict
  contains:
    qemu:
      description: QEMU for the architecture. V(path) is null without one.
      type: dict
      sample: {path: /usr/bin/qemu-system-x86_64, version: 7.2.22, default_machine: pc-q35-7.2, netdevs: [socket, user, vde], kvm: true}
    accelerators:
      description: Each accelerator, whether it runs a stock guest, and why not.
      type: dict
      sample: {kvm: {usable: false, reason: there is no /dev/kvm}, tcg: {usable: true, reason: ''}}
    user_manager:
      description: The user's systemd.
      type: dict
      sample: {usable: true, reason: '', version: '252', runtime: /run/user/1000, linger: true}
    user:
      description: The calling user and its groups.
      type: dict
      sample: {name: me, uid: 1000, groups: [me, kvm]}
    tools:
      description: Programs and where they are. Null for those that are missing.
      type: dict
      sample: {qemu-img: /usr/bin/qemu-img, swtpm: null}
    networks:
      description: What networks of machines are made of here. C(switch) is C(vde) or C(hub); C(links) says whether they can be linked to other hosts.
      type: dict
      sample: {switch: vde, links: true}
    libraries:
      description: Python libraries of the interpreter that runs the modules, and their versions.
      type: dict
      sample: {qemu.qmp: 0.0.6, jsonschema: 4.19.2, jeepney: 0.9.0, pycdlib: 1.12.0, PyYAML: 6.0.2}
    limits:
      description: Processors, memory and free space in bytes, open files.
      type: dict
      sample: {cpus: 8, memory: 16777216000, free_space: 90000000000, open_files: 1024}
    problems:
      description: What is in the way and what to do about it.
      type: list
      elements: dict
      sample:
        - problem: /dev/kvm may not be opened by this user (the group kvm may)
          fix: usermod -aG kvm me, then log in again
"""

from ansible_collections.maqet.qemu.plugins.module_utils._diagnosis import diagnose
from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, run


def answer(module: Module, check: bool) -> dict:
    return {"changed": False, "host": diagnose(module.params["arch"], check=check)}


def main() -> None:
    run(answer, {"arch": {"type": "str"}})


if __name__ == "__main__":
    main()
