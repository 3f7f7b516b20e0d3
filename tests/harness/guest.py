# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real guest from Debian packages: a cloud kernel, and an initramfs of busybox and qemu-guest-agent.

Made by an ordinary user, who installs nothing; kept in MAQET_TEST_CACHE, or in the user's own cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import lzma
import os
import re
import shutil
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path

MODULES = ["virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk"]
MODULES += ["failover", "net_failover", "virtio_net", "virtio_console", "button", "evdev", "fuse", "virtiofs"]
MODULES += ["scsi_common", "scsi_mod", "virtio_scsi", "cdrom", "sr_mod", "virtio_balloon", "virtio_mem", "pvpanic", "pvpanic-pci"]
MODULES += ["virtio_input"]
# Built in on Debian 12.
MODULES += ["crc16", "crc32c_generic", "libcrc32c", "mbcache", "jbd2", "ext4"]

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /run /www /var/log /var/run
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
echo online_movable >/sys/devices/system/memory/auto_online_blocks
for again in once twice; do  # who needs whom differs between kernels
    for module in MODULES; do test -e /modules/$module.ko && insmod /modules/$module.ko 2>/dev/null; done
done
# Elsewhere udev does this.
while sleep 0.5; do for cpu in /sys/devices/system/cpu/cpu*/online; do grep -q 0 $cpu && echo 1 >$cpu; done; done 2>/dev/null &
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
echo "hello from $(cat /proc/sys/kernel/random/boot_id)" >/www/index.html
httpd -p 80 -h /www
acpid -l /dev/console
grep -q mounted /proc/cmdline && mkdir /data && mke2fs /dev/vda >/dev/null 2>&1 && mount -t ext4 /dev/vda /data
for port in /sys/class/virtio-ports/*; do
    grep -q guest_agent $port/name && qemu-ga -m virtio-serial -p /dev/${port##*/} -t /run -f /run/qemu-ga.pid -F/etc/fsfreeze -d
done
for disk in /sys/block/vd*; do test -e $disk && echo "disk $(cat $disk/serial) of $(cat $disk/size) sectors"; done
grep -q ticks /proc/cmdline && (n=0; while n=$((n + 1)); do echo tick $n; sleep ${ticks:-1}; done) &
echo guest ready
exec setsid cttyhack sh
"""

# open("/dev/sr0", O_NONBLOCK), ioctl(CDROMEJECT), exit: no busybox of Debian has an eject.
EJECT = "b802000000 488d3d23000000 be00080000 31d2 0f05 89c7 be09530000 31d2 b810000000 0f05 89c7 b83c000000 0f05 90"

POWER_BUTTON = """#!/bin/busybox sh
echo power button
exec /bin/busybox poweroff -f
"""


# The agent calls it with freeze before it holds the file systems still, and with thaw after.
FREEZING = """#!/bin/busybox sh
echo file systems $1 >/dev/console
"""


def find_guest():
    """``boot`` of a machine that runs the guest."""
    recipe = hashlib.sha256((INIT + POWER_BUTTON + Path(__file__).read_text()).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("MAQET_TEST_CACHE") or Path.home() / ".cache/maqet-qemu") / f"guest-{recipe}"
    with alone(cache):
        if not cache.exists():
            work = cache.with_name(f"{cache.name}.{os.getpid()}")
            _build(work)
            work.rename(cache)
    return {"kernel": str(cache / "kernel"), "initrd": str(cache / "initrd"), "cmdline": "console=ttyS0 quiet"}


@contextmanager
def alone(cache):
    """Tests that run side by side want the same guest: one makes it."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{cache}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(work):
    packages, root = work / "packages", work / "root"
    packages.mkdir(parents=True)
    for package in _download(packages):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    (kernel,) = [path for path in root.rglob("vmlinuz-*") if path.is_file()]
    shutil.copy(kernel, work / "kernel")
    (work / "initrd").write_bytes(_archive(_tree(root)))
    shutil.rmtree(packages)
    shutil.rmtree(root)


def _download(folder):
    kernel = re.search(r"Depends: (linux-image-\S+)", _apt("apt-cache", folder, "depends", "linux-image-cloud-amd64")).group(1)
    (folder / "nothing").touch()
    options = ["-o", f"Dir::State::status={folder}/nothing", "-o", "APT::Install-Recommends=0", "install", "--print-uris", "-qq", "-y"]
    needed = re.findall(r"' (lib[^_ ]+)_", _apt("apt-get", folder, *options, "qemu-guest-agent"))
    _apt("apt-get", folder, "-q", "download", kernel, "busybox-static", "qemu-guest-agent", *needed)
    return folder.glob("*.deb")


def _apt(program, folder, *words):
    """Its output; with package lists of our own where the host has none."""
    argv = [program, "-o", "Debug::NoLocking=1"]
    if not any(Path("/var/lib/apt/lists").glob("*Packages*")):
        argv += ["-o", f"Dir::State={folder.parent}/state", "-o", f"Dir::Cache={folder.parent}/cache"]
        if not (folder.parent / "state").exists():
            for place in ("state/lists/partial", "cache/archives/partial"):
                (folder.parent / place).mkdir(parents=True)
            subprocess.run([*("apt-get", *argv[1:]), "-q", "update"], check=True, capture_output=True)
    done = subprocess.run([*argv, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _tree(root):
    """What goes into the initramfs: its path, mode and content."""
    yield "init", 0o755, INIT.replace("MODULES", " ".join(MODULES)).encode()
    yield "etc/acpi/PWRF/00000080", 0o755, POWER_BUTTON.encode()
    yield "bin/busybox", 0o755, _find(root, "busybox").read_bytes()
    yield "bin/eject", 0o755, _program(bytes.fromhex(EJECT), b"/dev/sr0\0")
    yield "etc/fsfreeze", 0o755, FREEZING.encode()
    agent = _find(root, "qemu-ga")
    yield "bin/qemu-ga", 0o755, agent.read_bytes()
    loader = _find(root, "ld-linux-x86-64.so.2")
    yield "lib64/ld-linux-x86-64.so.2", 0o755, loader.read_bytes()
    folders = ":".join({str(path.parent) for path in root.rglob("*.so*")})
    listed = subprocess.run([loader, "--library-path", folders, "--list", agent], capture_output=True, text=True, check=True).stdout
    for name, path in re.findall(r"(\S+) => (\S+)", listed):
        yield f"lib/{name}", 0o755, Path(path).read_bytes()
    for name in MODULES:
        for path in root.rglob(f"{name}.ko*"):
            content = path.read_bytes()
            yield f"modules/{name}.ko", 0o644, lzma.decompress(content) if path.suffix == ".xz" else content


def _program(code, data):
    """As little of an ELF file as Linux runs: one segment, the code and then the data."""
    head, start = 64 + 56, 0x400000
    whole = head + len(code) + len(data)
    elf = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, start + head, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return elf + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, whole, whole, 4096) + code + data


def _find(root, name):
    return next(path.resolve() for path in sorted(root.rglob(name)) if path.is_file() and "share" not in path.parts and "initramfs-tools" not in path.parts)


def _archive(files):
    """A cpio archive (format newc, as the kernel's initramfs wants it)."""
    entries, made = [], set()
    for name, mode, content in files:
        for parent in reversed(Path(name).parents[:-1] if len(Path(name).parents) > 1 else []):
            if str(parent) not in made:
                made.add(str(parent))
                entries.append((str(parent), 0o040755, b"", (0, 0)))
        entries.append((name, 0o100000 | mode, content, (0, 0)))
    entries += [("dev", 0o040755, b"", (0, 0)), ("dev/console", 0o020600, b"", (5, 1)), ("TRAILER!!!", 0, b"", (0, 0))]
    return b"".join(_entry(number, *entry) for number, entry in enumerate(entries, 1))


def _entry(number, name, mode, content, device):
    label = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(label), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + label
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)
