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
      - Free words about the machine, to find it by. None when left out.
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
      - "For example V(tcg), which runs anywhere and slowly."
    type: str
    choices: [auto, kvm, tcg]
  cpus:
    description:
      - Number of virtual CPUs, 1 when left out.
      - With O(max_cpus) it changes while the machine runs. A guest that keeps a CPU that should go has it until the next start.
      - "For example V(4)."
    type: int
  max_cpus:
    description:
      - How many virtual CPUs the running machine may come to have. As many as O(cpus) when left out, so that none can be added.
      - Not every board can. Those of x86 can, V(virt) of ARM cannot, and there a change of O(cpus) waits for the next start all the same.
      - "For example V(8)."
    type: int
  cpu_topology:
    description:
      - How the guest sees its CPUs. QEMU's own arrangement when left out. What is left out of it is 1.
      - The product is O(max_cpus), or O(cpus) where that is left out.
      - "For example V({sockets: 1, cores: 4, threads: 2})."
    type: dict
    suboptions:
      sockets:
        description:
          - Sockets of the board, 1 when left out.
          - "For example V(2)."
        type: int
      cores:
        description:
          - Cores of a socket, 1 when left out.
          - "For example V(4)."
        type: int
      threads:
        description:
          - Threads of a core, 1 when left out.
          - "For example V(2)."
        type: int
  cpu_model:
    description:
      - QEMU's CPU model, V(host) on kvm and V(max) on tcg when left out.
      - "For example V(EPYC-v4)."
    type: str
  memory:
    description:
      - The guest's memory, 512MiB when left out. Whole MiB.
      - With O(max_memory) it changes while the machine runs, between what it was started with and that.
      - "For example V(2GiB) or V(1536M). Units are powers of 1024."
    type: str
  max_memory:
    description:
      - How much memory the running machine may come to have. None is added while it runs when left out.
      - What comes later is a virtio-mem device. The guest needs its driver, which Linux has since 5.8 on x86.
      - "For example V(8GiB)."
    type: str
  balloon:
    description:
      - How much of its memory the guest is asked to keep, the rest being the host's meanwhile. All when left out.
      - It is a request. The guest follows as far as it can, and needs a driver for virtio-balloon.
      - "For example V(512MiB)."
    type: str
  firmware:
    description:
      - V(bios) is what QEMU itself brings for the board, V(uefi) an image of the host with variables (NVRAM) of the machine's own.
      - When left out V(uefi) with O(secure_boot) and for aarch64 without O(boot.kernel), else V(bios).
      - The image is chosen once by the host's firmware descriptors (C(/usr/share/qemu/firmware), C(/etc/qemu/firmware),
        C(~/.config/qemu/firmware)), and again when O(arch), O(machine) or one of these two options changes.
      - Switching back finds the variables as they were. Only O(state=absent) deletes them.
    type: str
    choices: [bios, uefi]
  secure_boot:
    description:
      - UEFI that starts only what is signed, with the usual keys enrolled where the host has such an image, and with variables
        of its own. Off when left out.
      - "For example V(true)."
    type: bool
  smbios:
    description:
      - What the firmware tells the guest of its hardware (SMBIOS type 1, as in C(/sys/class/dmi/id)). QEMU's words when left out.
      - "For example V({manufacturer: Example, serial: X-0042})."
    type: dict
    suboptions:
      manufacturer:
        description:
          - The system's manufacturer. QEMU's word when left out.
          - "For example V(Example Ltd.)."
        type: str
      product:
        description:
          - The system's product. QEMU's word when left out.
          - "For example V(Build host)."
        type: str
      version:
        description:
          - The system's version. QEMU's word when left out.
          - "For example V(2)."
        type: str
      serial:
        description:
          - The system's serial number. QEMU's word when left out.
          - "For example V(X-0042)."
        type: str
      sku:
        description:
          - The system's SKU. QEMU's word when left out.
          - "For example V(BH-2)."
        type: str
      family:
        description:
          - The system's family. QEMU's word when left out.
          - "For example V(Hosts)."
        type: str
  boot:
    description:
      - How the guest starts. The firmware's own order when left out.
      - "For example V({kernel: /boot/vmlinuz, cmdline: console=ttyS0})."
    type: dict
    suboptions:
      kernel:
        description:
          - A kernel to start directly, a file of the host. The firmware looks for one on the disks when left out.
          - "For example V(/boot/vmlinuz)."
        type: path
      initrd:
        description:
          - Its initial RAM disk, none when left out. Needs O(boot.kernel).
          - "For example V(/boot/initrd.img)."
        type: path
      cmdline:
        description:
          - Its command line, empty when left out. Needs O(boot.kernel).
          - "For example V(root=/dev/vda console=ttyS0)."
        type: str
      order:
        description:
          - The firmware's order in QEMU's letters, V(c) disk, V(d) CD-ROM, V(n) network. The firmware's own when left out.
          - "For example V(nc)."
        type: str
      menu:
        description:
          - Show the firmware's boot menu. Off when left out.
          - "For example V(true)."
        type: bool
  restart_policy:
    description:
      - When systemd starts QEMU again by itself, changed while the machine runs.
      - V(on-failure), the default, after a crash and not after the guest powered down. V(always) after that too.
    type: str
    choices: ['no', on-failure, always]
  on_failure:
    description:
      - What the user's systemd starts each time QEMU ends with a failure, also when it starts QEMU again. A crash, a kill and a guest that did
        not power down in time are failures. What a guest does itself is none. Nothing when left out.
      - It changes while the machine runs.
      - "For example V({unit: alert@.service})."
    type: dict
    suboptions:
      unit:
        description:
          - A unit of this user's systemd. Of one with an C(@) before its suffix the machine's name is the instance. None when left out.
          - For example V(alert@.service).
        type: str
      command:
        description:
          - A program by its absolute path, with its arguments. It runs as a unit of its own with C(MAQET_VM), C(MAQET_LAB) and systemd's
            C(SERVICE_RESULT), C(EXIT_CODE) and C(EXIT_STATUS) in its environment. None when left out.
          - "For example V([/usr/bin/logger, --tag, maqet, a machine failed])."
        type: list
        elements: str
  resources:
    description:
      - Limits of the machine's unit, as far as the host's cgroups can enforce them for a user. None when left out.
      - They change while the machine runs. What somebody else sets, as by C(systemctl set-property), is taken back by the next task.
      - "For example V({memory_max: 3GiB, cpu_quota: 150%})."
    type: dict
    suboptions:
      memory_max:
        description:
          - C(MemoryMax) of the unit, at least O(memory) and room for QEMU. No limit when left out.
          - "For example V(3GiB)."
        type: str
      cpu_quota:
        description:
          - C(CPUQuota) of the unit, in percent of one CPU. No limit when left out.
          - "For example V(150%)."
        type: str
      cpu_weight:
        description:
          - C(CPUWeight) of the unit, 1 to 10000. What systemd gives everybody when left out.
          - "For example V(50)."
        type: int
      io_weight:
        description:
          - C(IOWeight) of the unit, 1 to 10000. What systemd gives everybody when left out.
          - "For example V(50)."
        type: int
"""
