# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real guest: the host's Debian release with cloud-init, sshd, the agent and Python, as small and quick as emulation needs it.

Its files belong to root, so root makes it (scripts/test does, before the tests), from the package sources of the host, once: it is
kept in MAQET_TEST_CACHE. It boots with its kernel given directly, so no boot loader is in it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .guest import _apt, _archive, _find

PACKAGES = ["busybox-static", "cloud-init", "openssh-server", "qemu-guest-agent", "systemd-sysv", "udev", "ifupdown", "iproute2", "dbus", "kmod", "sudo"]
PACKAGES += ["python3-apt"]
# Nobody reads these in the guest.
WITHOUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"]
MODULES = ["virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk", "crc16", "mbcache", "jbd2", "ext4"]
MORE_MODULES = ["failover", "net_failover", "virtio_net", "virtio_console", "button", "evdev", "cdrom", "isofs", "qemu_fw_cfg", "rng-core", "virtio-rng"]
# What takes time under emulation and is of no use here.
MASKED = ["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer", "getty@tty1.service"]
MASKED += ["cloud-init-hotplugd.socket", "systemd-pstore.service", "systemd-update-utmp.service", "kmod-static-nodes.service", "e2scrub_reap.service"]
MASKED += ["sys-kernel-debug.mount", "sys-kernel-tracing.mount", "dev-hugepages.mount", "dev-mqueue.mount"]
MASKED += ["systemd-networkd-wait-online.service", "systemd-networkd.service", "systemd-networkd.socket"]
MASKED += ["systemd-tmpfiles-clean.timer", "serial-getty@ttyS0.service", "systemd-binfmt.service", "systemd-machine-id-commit.service"]

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /root
/bin/busybox mount -t devtmpfs devtmpfs /dev
for again in once twice; do
    for module in MODULES; do test -e /modules/$module.ko && /bin/busybox insmod /modules/$module.ko 2>/dev/null; done
done
until /bin/busybox mount -t ext4 /dev/vda /root 2>/dev/null; do /bin/busybox sleep 0.1; done
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""

CLOUD = """datasource_list: [NoCloud, None]
cloud_init_modules: [bootcmd, write-files, set_hostname, update_hostname, update_etc_hosts, users-groups, ssh]
cloud_final_modules: [runcmd, scripts-user]
ssh_genkeytypes: [ed25519]
"""
# The last word of each boot, on the console.
READY = """[Unit]
After=cloud-final.service ssh.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo "boot $(cat /proc/sys/kernel/random/boot_id) is done" >/dev/ttyS0'
[Install]
WantedBy=cloud-init.target
"""


def find_debian():
    """The image, and ``boot`` of a machine that has it as its first disk. None when nobody made it."""
    folder = _place()
    if not folder.exists():
        return None
    boot = {"kernel": str(folder / "kernel"), "initrd": str(folder / "initrd"), "cmdline": "root=/dev/vda rw console=ttyS0 quiet"}
    return str(folder / "debian.qcow2"), boot


def _place():
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    return Path(os.environ.get("MAQET_TEST_CACHE") or Path.home() / ".cache/maqet-qemu") / f"debian-{_release()}-{recipe}"


def _release():
    return re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())[1]


def make_debian():
    """Make the image, whole or not at all."""
    folder = _place()
    if folder.exists():
        return
    for old in folder.parent.glob("debian-*"):
        shutil.rmtree(old)
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    work.mkdir(parents=True)
    try:
        _build(work)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _build(work):
    root, packages = work / "root", work / "packages"
    options = [f"--dpkgopt=path-exclude={path}" for path in WITHOUT]
    options += ['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"', f"--include={','.join(PACKAGES)}"]
    sources = [
        path for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")] if path.is_file() and path.suffix in (".list", ".sources")
    ]
    _run("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory", *options, _release(), root, *sources)
    packages.mkdir()
    kernel = re.search(r"Depends: (linux-image-\S+)", _apt("apt-cache", packages, "depends", "linux-image-cloud-amd64"))[1]
    _apt("apt-get", packages, "-q", "-o", "APT::Sandbox::User=root", "download", kernel)
    _run("dpkg-deb", "-x", next(packages.glob("*.deb")), packages / "kernel")
    _add_kernel(packages / "kernel", root, work)
    _settle(root)
    size = int(subprocess.run(["du", "-sm", root], capture_output=True, text=True, check=True).stdout.split()[0])
    _run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, work / "debian.raw", f"{size * 5 // 4 + 128}M")
    _run("qemu-img", "convert", "-O", "qcow2", work / "debian.raw", work / "debian.qcow2")
    (work / "debian.raw").unlink()
    shutil.rmtree(root)
    shutil.rmtree(packages)


def _add_kernel(kernel, root, work):
    """The kernel and the first few modules outside, a few more modules inside."""
    shutil.copy(next(kernel.glob("boot/vmlinuz-*")), work / "kernel")
    (version,) = [path.name for path in kernel.glob("**/lib/modules/*")]
    target = root / "usr/lib/modules" / version
    target.mkdir(parents=True)
    files = [("init", 0o755, INIT.replace("MODULES", " ".join(MODULES)).encode()), ("bin/busybox", 0o755, _find(root, "busybox").read_bytes())]
    for name in MODULES + MORE_MODULES:
        for path in kernel.rglob(f"{name}.ko*"):
            shutil.copy(path, target)
            if path.suffix == ".xz":
                _run("unxz", target / path.name)
            if name in MODULES:
                files.append((f"modules/{name}.ko", 0o644, (target / f"{name}.ko").read_bytes()))
    for path in kernel.rglob("modules.builtin*"):
        shutil.copy(path, target)
    (target / "modules.order").touch()
    _run("chroot", root, "depmod", version)
    (work / "initrd").write_bytes(_archive([*files, ("root/.keep", 0o644, b"")]))


def _settle(root):
    (root / "etc/cloud/cloud.cfg.d/99-test.cfg").write_text(CLOUD)
    (root / "etc/systemd/system/ready.service").write_text(READY)
    (root / "etc/fstab").write_text("")
    (root / "etc/machine-id").write_text("uninitialized\n")
    # Up to 24.2 each stage is a Python of its own, and this one has nothing to do; later they wait for one another.
    alone = not (root / "usr/lib/systemd/system/cloud-init-main.service").exists()
    for unit in [*MASKED, *(["cloud-config.service"] if alone else [])]:
        (root / "etc/systemd/system" / unit).unlink(missing_ok=True)
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    _run("chroot", root, "systemctl", "--quiet", "enable", "ready.service")
    for path in root.glob("etc/ssh/ssh_host_*"):
        path.unlink()


def _run(*words):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"{words[0]}: {done.stdout[-2000:]}")


if __name__ == "__main__":
    make_debian()
