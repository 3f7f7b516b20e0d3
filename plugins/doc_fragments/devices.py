# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What a machine has: options of M(maqet.qemu.maqet_vm) and keys of a machine in a lab file."""

    DOCUMENTATION = r"""
options:
  images:
    description:
      - Images that O(disks[].image) can name, and where each comes from. None when left out. One that a disk needs is fetched before the disk is made,
        verified, unpacked, turned into qcow2 and kept in the image cache, once for all machines of the user.
      - An image that no disk needs is not fetched. M(maqet.qemu.maqet_image) fetches one by itself.
      - What is changed here reaches new disks alone. See O(recreate).
      - "For example V([{name: debian-12, url: 'https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2'}])."
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The image's name in the cache, 1 to 63 letters, digits, V(_), V(.) or V(-).
          - "For example V(debian-12)."
        type: str
        required: true
      url:
        description:
          - Where it is fetched from. Needed without O(images[].path).
          - "For example V(https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2)."
        type: str
      path:
        description:
          - A file of the host that it is copied from. Needed without O(images[].url).
          - "For example V(/srv/images/golden.qcow2.xz)."
        type: path
      checksum:
        description:
          - The sum of the bytes as they come, V(sha256:) or V(sha512:) and then hex digits or the URL of a file of sums.
          - Plain http needs one, see O(images[].verify). When left out, an image of a name is fetched once, whatever its URL holds later.
          - "For example V(sha512:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS)."
        type: str
      verify:
        description:
          - Whether plain http needs O(images[].checksum). On when left out.
          - "For example V(false)."
        type: bool
      format:
        description:
          - What it is once unpacked. What its first bytes say when left out.
          - "For example V(raw)."
        type: str
        choices: [qcow2, raw, vmdk, vdi, vhdx, vpc]
  disks:
    description:
      - Disks and CD-ROM drives, each known by its O(disks[].name). None when left out. A disk needs one of O(disks[].size), O(disks[].image)
        and O(disks[].path).
      - They come and go while the machine runs, except on the bus V(sata). On V(virtio) and V(nvme) one goes when the guest agrees.
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
          - The size the guest sees. It grows while the machine runs, and never shrinks.
          - For O(disks[].image) the image's own when left out.
          - "For example V(20GiB)."
        type: str
      image:
        description:
          - What the disk is made of, the path of a local image or the name of one in the image cache. The image stays as it is.
            The disk is an overlay on it, of its size or a larger O(disks[].size).
          - A name is one of O(images), or of M(maqet.qemu.maqet_image). What the name stands for later is for new disks alone;
            this one keeps what it was made on.
          - An overlay holds what differs from its image. A local image that was changed since is refused at the next start.
          - When left out with O(disks[].path), the disk is new and empty.
          - An image that itself leans on another file of the host is refused.
          - "For example V(debian-12) or V(/srv/images/debian-12.qcow2)."
        type: path
      copy:
        description:
          - A full copy of O(disks[].image) instead of an overlay on it, in O(disks[].format). The disk needs the image no more. Off when left out.
          - It is the way to take over a disk of another hypervisor, given by its path.
          - "For example V(true)."
        type: bool
      path:
        description:
          - An existing file to use as it is. It is never grown and never deleted.
          - For O(disks[].device=cdrom) it is the medium, changed while the machine runs. The drive is empty when it is left out.
          - "For example V(/srv/disks/archive.raw)."
        type: path
      device:
        description:
          - V(disk) when left out, or V(cdrom), a drive whose medium is O(disks[].path).
        type: str
        choices: [disk, cdrom]
      bus:
        description:
          - What the device hangs on. V(virtio) for a disk when left out. For a CD-ROM drive V(sata) on x86 and V(scsi) elsewhere, and no other.
          - V(scsi) is virtio-scsi, V(usb) a USB 3 controller, each made with the first device on it. V(sata) is for x86.
        type: str
        choices: [virtio, scsi, sata, nvme, usb]
      format:
        description:
          - The file's format. V(qcow2) when left out, and for O(disks[].path) what C(qemu-img) first finds it to be.
          - It stays. A disk of another format is another disk.
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
          - The firmware's order among devices that have one, V(0) first. The others come after them. None when left out.
          - "For example V(0)."
        type: int
      throttle:
        description:
          - Limits of the disk, changed while the machine runs. None when left out. Not for O(disks[].device=cdrom).
          - "For example V({iops: 500, bps: 50MiB})."
        type: dict
        suboptions:
          iops:
            description:
              - Reads and writes a second, together. No limit when left out.
              - "For example V(500)."
            type: int
          bps:
            description:
              - Bytes a second, read and written together. No limit when left out.
              - "For example V(50MiB)."
            type: str
      on_remove:
        description:
          - What becomes of a disk of the machine's own that leaves the declaration. V(keep), the default, leaves its
            file in the machine's directory, and declaring the name again brings it back.
        type: str
        choices: [keep, delete]
  nics:
    description:
      - Network cards, each known by its O(nics[].name). None when left out.
      - They come and go while the machine runs. One goes when the guest agrees.
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
          - What it is plugged into.
          - V(user), the default, is QEMU's own network with NAT to the outside.
          - V(passt) gives the guest the host's own address and routes by the program C(passt), which runs beside QEMU and ends with
            it. It is faster. Forwards change at the next start, and the card comes with a start only.
          - V(bridge) joins the bridge O(nics[].interface) of the host by QEMU's C(qemu-bridge-helper), which must be setuid root;
            C(/etc/qemu/bridge.conf) must allow the bridge. The helper has ended before QEMU starts, and QEMU's sandbox stays closed.
            The card comes with a start only.
          - V(tap) uses the tap device O(nics[].interface), which root has made for this user.
          - V(switch) joins the network O(nics[].switch) of this host, on which are other machines of this user and nobody else.
          - V(mcast) joins the group O(nics[].mcast) by UDP multicast, without a switch. Everybody on the host and on its link can hear and
            send there.
          - "For example V(passt)."
        type: str
        choices: [user, passt, switch, mcast, bridge, tap]
      interface:
        description:
          - The host's bridge or tap device. Needed with O(nics[].network=bridge) and O(nics[].network=tap).
          - "For example V(br0)."
        type: str
      switch:
        description:
          - The network whose switch the card is on, by the full name that it has on this host, as the lab made it. Needed with
            O(nics[].network=switch). It is another one while the machine runs, and the guest sees nothing of that.
          - "For example V(shop-lan)."
        type: str
      mcast:
        description:
          - A multicast address of IPv4 and a port. Needed with O(nics[].network=mcast).
          - "For example V(239.7.7.7:7777)."
        type: str
      address:
        description:
          - The address that the guest gives the card, with its prefix. It asks DHCP when left out. The guest is told by O(cloud_init), which
            it needs for that; the card comes with a start only.
          - On the network V(user) it is one of 10.0.2.0/24 or fec0::/64, the prefix may be left out, and forwards lead to it.
          - "For example V(192.168.7.10/24)."
        type: str
      gateway:
        description:
          - The router that leads outside, in the network of O(nics[].address). None when left out, and V(10.0.2.2) on the network V(user).
          - "For example V(192.168.7.1)."
        type: str
      dns:
        description:
          - Name servers. None when left out, and V(10.0.2.3) on the network V(user).
          - "For example V([192.168.7.1])."
        type: list
        elements: str
      mac:
        description:
          - Its hardware address. One is made from the machine's UUID and the card's name when left out, and stays.
          - "For example V(52:54:00:12:34:56)."
        type: str
      model:
        description:
          - QEMU's network device, V(virtio-net-pci) when left out.
          - "For example V(e1000e)."
        type: str
      link:
        description:
          - Whether the card's cable is plugged in, changed while the machine runs. V(up) when left out.
          - "For example V(down)."
        type: str
        choices: [up, down]
      forwards:
        description:
          - Ports of the host that lead to the guest, changed while the machine runs. None when left out.
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
  tpm:
    description:
      - A TPM 2.0, by the program C(swtpm), which runs beside QEMU and ends with it. None when left out.
      - Its state is kept in the machine's directory over stop and start, and goes with O(state=absent).
      - Where C(swtpm) is killed, the machine goes on without its TPM until its next start.
      - "For example V(true)."
    type: bool
  vsock:
    description:
      - A socket between host and guest that needs no network. None when left out.
      - The guest's address is made once and stays; it is RV(vm.cid) of the result. The host needs C(/dev/vhost-vsock).
      - "For example V(true)."
    type: bool
  shares:
    description:
      - Directories of the host in the guest (virtiofs), each by a C(virtiofsd) that runs beside QEMU and ends with it.
        None when left out.
      - The guest mounts one with C(mount -t virtiofs <name> /mnt). Its files belong to the user who runs the machine; the guest's root may use them.
      - The host needs virtiofsd as Debian has it since 13. The one that QEMU brought along up to 7.2 runs as root only.
      - "For example V([{name: src, path: /home/me/src, readonly: true}])."
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The share's name, by which the guest mounts it. At most 36 letters, digits, V(_), V(.) or V(-).
          - "For example V(src)."
        type: str
        required: true
      path:
        description:
          - A directory of the host.
          - "For example V(/home/me/src)."
        type: path
        required: true
      readonly:
        description:
          - The guest may not write. It may when left out.
          - "For example V(true)."
        type: bool
  display:
    description:
      - Who may look at the screen, nobody when left out. Screens can be saved with any.
      - "For example V({type: vnc, password: '{{ vault_screen }}'})."
    type: dict
    suboptions:
      type:
        description:
          - V(none), the default, or V(vnc) or V(spice) on a socket that only this user may open.
        type: str
        choices: [none, vnc, spice]
      password:
        description:
          - What viewers are asked for, at most 8 characters for V(vnc) and 59 for V(spice). Nothing is asked when left out.
          - It is kept in files of mode 0600 and never stands in a command line. Another one counts at once for new viewers.
          - "For example V('{{ vault_screen }}')."
        type: str
  video:
    description:
      - The video device, V(std) for x86 and V(virtio) for others when left out. Some are packages of their own.
    type: str
    choices: [none, std, virtio, virtio-vga, qxl, bochs, cirrus, vmware, ati, ramfb]
  input:
    description:
      - USB devices to point and type with, on a controller named C(usb). They come and go while the machine runs.
        When left out, a machine with a O(display) has those of them that its guest lacks.
      - "For example V({keyboard: true})."
    type: dict
    suboptions:
      tablet:
        description:
          - A pointer that follows the viewer's. On with a O(display), off without one, when left out.
          - "For example V(true)."
        type: bool
      keyboard:
        description:
          - A USB keyboard. When left out on with a O(display) and off without one, and off for x86, whose boards have a keyboard.
          - "For example V(true)."
        type: bool
  watchdog:
    description:
      - A timer that a living guest resets again and again. None when left out.
      - "For example V({model: i6300esb, action: poweroff})."
    type: dict
    suboptions:
      model:
        description:
          - V(none) when left out. V(i6300esb) is a PCI device, V(ib700) and V(itco) are for x86 (V(itco) for the board q35
            alone), V(diag288) is for s390x.
        type: str
        choices: [none, i6300esb, ib700, itco, diag288]
      action:
        description:
          - What happens when the guest did not reset it, V(reset) when left out. Changed on a running machine without a restart.
        type: str
        choices: [reset, shutdown, poweroff, inject-nmi, pause, debug, none]
  devices:
    description:
      - Further devices as QEMU's own property dicts, each with C(driver) and C(id). None when left out.
      - They come and go while the machine runs where QEMU can plug the driver. One that changes is removed and added again.
      - A PCI device without C(bus) gets a PCIe port of its own, as disks and cards do, where the board has PCIe.
      - "For example V([{driver: usb-tablet, id: tablet}])."
    type: list
    elements: dict
  objects:
    description:
      - Further objects as QEMU's own property dicts, each with C(qom-type) and C(id). None when left out.
      - They come and go while the machine runs. One that changes is removed and added again. QEMU refuses that of some while a device uses them.
      - "For example V([{qom-type: iothread, id: io1}])."
    type: list
    elements: dict
  extra_args:
    description:
      - Arguments for QEMU's command line, one word an item, as a last resort. None when left out.
      - "For example V([-rtc, base=localtime])."
    type: list
    elements: str
"""
