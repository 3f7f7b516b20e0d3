# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real guest of another architecture: Debian's cloud kernel for arm64, and an initramfs of busybox.

Made by an ordinary user from package lists of its own; kept in MAQET_TEST_CACHE, or in the user's own cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from .guest import _archive, alone

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
echo "guest ready on $(/bin/busybox uname -m) with $(/bin/busybox nproc) CPUs"
test -d /sys/firmware/efi && echo "guest came by UEFI"
while :; do /bin/busybox sleep 60; done
"""


def find_arm_guest():
    """``boot`` of a machine that runs the guest."""
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("MAQET_TEST_CACHE") or Path.home() / ".cache/maqet-qemu") / f"arm-{recipe}"
    with alone(cache):
        if not cache.exists():
            work = cache.with_name(f"{cache.name}.{os.getpid()}")
            _build(work)
            work.rename(cache)
    return {"kernel": str(cache / "kernel"), "initrd": str(cache / "initrd"), "cmdline": "console=ttyAMA0 quiet"}


def _build(work):
    scratch, root = work / "scratch", work / "root"
    for place in ("state/lists/partial", "cache/archives/partial"):
        (scratch / place).mkdir(parents=True)
    (scratch / "nothing").touch()
    _apt(scratch, "apt-get", "-q", "update")
    kernel = re.search(r"Depends: (linux-image-\S+)", _apt(scratch, "apt-cache", "depends", "linux-image-cloud-arm64")).group(1)
    _apt(scratch, "apt-get", "-q", "download", kernel, "busybox-static")
    for package in scratch.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    (image,) = [path for path in root.rglob("vmlinuz-*") if path.is_file()]
    shutil.copy(image, work / "kernel")
    busybox = next(path for path in root.rglob("busybox") if path.is_file() and path.parent.name == "bin")
    (work / "initrd").write_bytes(_archive([("init", 0o755, INIT.encode()), ("bin/busybox", 0o755, busybox.read_bytes())]))
    shutil.rmtree(scratch)
    shutil.rmtree(root)


def _apt(folder, program, *words):
    options = [f"Dir::State={folder}/state", f"Dir::Cache={folder}/cache", f"Dir::State::status={folder}/nothing"]
    options += ["APT::Architecture=arm64", "APT::Architectures=arm64", "Debug::NoLocking=1", "Acquire::Languages=none"]
    argv = [program, *(word for option in options for word in ("-o", option)), *words]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
