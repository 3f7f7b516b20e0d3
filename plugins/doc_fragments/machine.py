# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What a machine is: options of M(maqet.qemu.maqet_vm) and keys of a machine in a lab file."""

    DOCUMENTATION = r"""
options:
  labels:
    description:
      - Free words about the machine, to find it by.
      - "For example V({role: database, team: blue})."
    type: dict
  protect:
    description:
      - Refuse O(state=absent). Off when left out.
      - "For example V(true)."
    type: bool
  arch:
    description:
      - The guest's architecture, a target of QEMU as in C(qemu-system-<arch>). The host's own when left out.
      - "For example V(aarch64)."
    type: str
  machine:
    description:
      - QEMU's machine type, V(q35) for x86 and V(virt) for most others when left out.
      - An alias is resolved to its versioned type once and stays that, so that a new QEMU does not change the guest's board.
      - "For example V(q35) or V(pc-q35-7.2)."
    type: str
  accel:
    description:
      - V(auto), the default, takes V(kvm) where a stock guest boots on it, else V(tcg) with a warning that says why.
    type: str
    choices: [auto, kvm, tcg]
  cpus:
    description:
      - Number of virtual CPUs, 1 when left out.
      - "For example V(4)."
    type: int
  cpu_model:
    description:
      - QEMU's CPU model, V(host) on kvm and V(max) on tcg when left out.
      - "For example V(EPYC-v4)."
    type: str
  memory:
    description:
      - The guest's memory, 512MiB when left out. Whole MiB.
      - "For example V(2GiB) or V(1536M). Units are powers of 1024."
    type: str
  boot:
    description:
      - How the guest starts. The firmware's own order when left out.
      - "For example V({kernel: /boot/vmlinuz, cmdline: console=ttyS0})."
    type: dict
    suboptions:
      kernel:
        description:
          - A kernel to start directly, a file of the host.
          - "For example V(/boot/vmlinuz)."
        type: path
      initrd:
        description:
          - Its initial RAM disk. Needs O(boot.kernel).
          - "For example V(/boot/initrd.img)."
        type: path
      cmdline:
        description:
          - Its command line. Needs O(boot.kernel).
          - "For example V(root=/dev/vda console=ttyS0)."
        type: str
      order:
        description:
          - The firmware's order in QEMU's letters, V(c) disk, V(d) CD-ROM, V(n) network.
          - "For example V(nc)."
        type: str
      menu:
        description:
          - Show the firmware's boot menu. Off when left out.
          - "For example V(true)."
        type: bool
  disks:
    description:
      - Disks, each known by its O(disks[].name). Each needs one of O(disks[].size), O(disks[].image) and O(disks[].path).
      - "For example V([{name: root, image: /srv/debian.qcow2, size: 10GiB}, {name: data, size: 50GiB}])."
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The disk's name within the machine, 1 to 26 letters, digits, V(_), V(.) or V(-).
          - "For example V(root)."
        type: str
        required: true
      size:
        description:
          - The size the guest sees. It may grow and never shrinks.
          - "For example V(20GiB)."
        type: str
      image:
        description:
          - A local image that stays as it is. The disk is an overlay on it, of its size or a larger O(disks[].size).
          - An image that itself leans on another file of the host is refused.
          - "For example V(/srv/images/debian-12.qcow2)."
        type: path
      path:
        description:
          - An existing file to use as it is. It is never grown and never deleted.
          - "For example V(/srv/disks/archive.raw)."
        type: path
      format:
        description:
          - The file's format. V(qcow2) when left out, and for O(disks[].path) what C(qemu-img) first finds it to be.
        type: str
        choices: [qcow2, raw]
      readonly:
        description:
          - The guest cannot write. Off when left out.
          - "For example V(true)."
        type: bool
      serial:
        description:
          - The serial number the guest sees, as in C(/dev/disk/by-id/virtio-<serial>). O(disks[].name) when left out.
          - "For example V(data-01)."
        type: str
      cache:
        description:
          - How writes reach the host's disk, V(writeback) when left out. V(unsafe) ignores the guest's flushes.
        type: str
        choices: [writeback, none, directsync, unsafe]
      discard:
        description:
          - Whether space that the guest trims is given back, V(unmap) when left out.
        type: str
        choices: [unmap, ignore]
      boot_index:
        description:
          - The firmware's order among devices that have one, V(0) first.
          - "For example V(0)."
        type: int
      on_remove:
        description:
          - What becomes of a disk of the machine's own that leaves the declaration. V(keep), the default, leaves its
            file in the machine's directory, and declaring the name again brings it back.
        type: str
        choices: [keep, delete]
  nics:
    description:
      - Network cards, each known by its O(nics[].name).
      - "For example V([{name: lan, forwards: [{guest: 22}]}])."
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The card's name within the machine.
          - "For example V(lan)."
        type: str
        required: true
      network:
        description:
          - What it is plugged into. V(user), the default, is QEMU's own network with NAT to the outside.
        type: str
        choices: [user]
      mac:
        description:
          - Its address. One is made from the machine's UUID and the card's name when left out, and stays.
          - "For example V(52:54:00:12:34:56)."
        type: str
      model:
        description:
          - QEMU's network device, V(virtio-net-pci) when left out.
          - "For example V(e1000e)."
        type: str
      forwards:
        description:
          - Ports of the host that lead to the guest, changed on a running machine without a restart.
          - "For example V([{guest: 22}, {guest: 443, host: 8443, listen: 0.0.0.0}])."
        type: list
        elements: dict
        suboptions:
          host:
            description:
              - The host's port. V(auto), the default, allots a free one from 20000 to 32767 and keeps it.
              - "For example V(2222)."
            type: str
          guest:
            description:
              - The guest's port.
              - "For example V(22)."
            type: int
            required: true
          protocol:
            description:
              - V(tcp) when left out.
            type: str
            choices: [tcp, udp]
          listen:
            description:
              - The host's IPv4 address to listen on, V(127.0.0.1) when left out.
              - "For example V(0.0.0.0)."
            type: str
  guest_agent:
    description:
      - A channel for the QEMU guest agent. On when left out.
      - "For example V(false)."
    type: bool
  rng:
    description:
      - A random number device. On when left out.
      - "For example V(false)."
    type: bool
  display:
    description:
      - Who may look at the screen. Screens can be saved with any.
      - "For example V({type: vnc})."
    type: dict
    suboptions:
      type:
        description:
          - V(none), the default, or V(vnc) on a socket that only this user may open.
        type: str
        choices: [none, vnc]
  video:
    description:
      - The video device, V(std) when left out.
    type: str
    choices: [none, std, virtio, virtio-vga, qxl, bochs]
  devices:
    description:
      - Further devices as QEMU's own property dicts, each with C(driver) and C(id).
      - "For example V([{driver: usb-tablet, id: tablet}])."
    type: list
    elements: dict
  objects:
    description:
      - Further objects as QEMU's own property dicts, each with C(qom-type) and C(id).
      - "For example V([{qom-type: iothread, id: io1}])."
    type: list
    elements: dict
  extra_args:
    description:
      - Arguments for QEMU's command line, one word an item, as a last resort.
      - "For example V([-rtc, base=localtime])."
    type: list
    elements: str
  restart_policy:
    description:
      - When systemd starts QEMU again by itself. V(on-failure), the default, after a crash and not after the guest powered down.
    type: str
    choices: ['no', on-failure, always]
  resources:
    description:
      - Limits of the machine's unit, as far as the host's cgroups can enforce them for a user.
      - "For example V({memory_max: 3GiB, cpu_quota: 150%})."
    type: dict
    suboptions:
      memory_max:
        description:
          - C(MemoryMax) of the unit, at least O(memory) and room for QEMU.
          - "For example V(3GiB)."
        type: str
      cpu_quota:
        description:
          - C(CPUQuota) of the unit, in percent of one CPU.
          - "For example V(150%)."
        type: str
      cpu_weight:
        description:
          - C(CPUWeight) of the unit, 1 to 10000.
          - "For example V(50)."
        type: int
      io_weight:
        description:
          - C(IOWeight) of the unit, 1 to 10000.
          - "For example V(50)."
        type: int
"""
