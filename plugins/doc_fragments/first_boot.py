# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What a guest is told at its first boot: options of M(maqet.qemu.maqet_vm) and keys of a machine in a lab file."""

    DOCUMENTATION = r"""
options:
  cloud_init:
    description:
      - What the guest's cloud-init reads at its boots, from a small read-only disk named C(seed) that is made at each start. No such disk
        when left out, unless a card has an O(nics[].address).
      - With V({}) the guest is told its hostname, the machine's name with V(-) for V(_), and its network.
      - O(cloud_init.user_data), O(cloud_init.meta_data), O(cloud_init.ssh_keys) and O(cloud_init.vendor_data) are for a first boot. When
        one of them changes, the guest takes itself for a new one (its C(instance-id) is another), and does all of a first boot again.
        Hosts and network are brought up to date at every boot.
      - Passwords in it stay in files of mode 0600 and out of diffs, results and the log. Tasks with C(loop) show their items, so say C(no_log)
        there. See C(docs/first-boot.md).
      - "For example V({user_data: {packages: [nginx]}, ssh_keys: ['ssh-ed25519 AAAA... me']})."
    type: dict
    suboptions:
      user_data:
        description:
          - A dictionary, which becomes a C(#cloud-config), or a text that begins as cloud-init wants it, such as C(#!/bin/sh). None when left out.
          - "For example V({packages: [nginx], timezone: Europe/Berlin})."
        type: raw
      meta_data:
        description:
          - A dictionary or a text in YAML, on top of what is told anyway. Its C(local-hostname) and C(instance-id) replace ours. None when left out.
          - "For example V({local-hostname: web.example.com})."
        type: raw
      network_config:
        description:
          - The whole network, a dictionary or a text in YAML, of version 1 or 2. When left out each card has its O(nics[].address) or asks
            DHCP, and is called by its O(nics[].name).
          - "For example V({version: 2, ethernets: {all: {match: {name: 'e*'}, dhcp4: true}}})."
        type: raw
      vendor_data:
        description:
          - Like O(cloud_init.user_data), which goes before it. When left out it has cloud-init look at the network at every boot, unless
            O(cloud_init.network_config) is given.
          - "For example V({ntp: {enabled: true}})."
        type: raw
      ssh_keys:
        description:
          - Public keys that may log in as the image's default user. None when left out.
          - "For example V(['ssh-ed25519 AAAA... me'])."
        type: list
        elements: str
      hosts:
        description:
          - Names and their addresses for the guest's C(/etc/hosts), written at every boot into a block of its own. None when left out.
          - "For example V({db: 10.10.0.10, web: 10.10.0.11})."
        type: dict
  cloud_init_on_change:
    description:
      - What a change of O(cloud_init) or of an O(nics[].address) does to the machine.
      - V(ignore), the default, does nothing now. It is in RV(pending_restart) until the next start, whatever O(on_restart_needed) says.
      - V(reboot) restarts the machine for it, at once.
      - V(recreate) makes its disks with an O(disks[].image) anew and restarts it. All that the guest has written to them is lost.
      - With O(on_restart_needed=fail) both are refused. A machine that is stopped meets its policy when a task starts it.
    type: str
    choices: [reboot, recreate, ignore]
  ignition:
    description:
      - An Ignition config for Fedora CoreOS, Flatcar and the like, a dictionary or a text in JSON. None when left out. A guest reads it at
        its first boot alone.
      - "For example V({ignition: {version: 3.4.0}, passwd: {users: [{name: core, sshAuthorizedKeys: ['ssh-ed25519 AAAA... me']}]}})."
    type: raw
  credentials:
    description:
      - Credentials of the guest's systemd, texts by their names. None when left out. The guest needs systemd 252 or newer.
      - Small ones go by SMBIOS where there is one, on x86 and with UEFI, up to 4KB together. The others go by QEMU's fw_cfg, at most 10 of them,
        with names of at most 28 characters and 1MiB together; the guest's kernel needs its module C(qemu_fw_cfg) for these.
      - "For example V({passwd.hashed-password.root: '{{ vault_hash }}', vmm.notify_socket: 'vsock:2:9999'})."
    type: dict
"""
