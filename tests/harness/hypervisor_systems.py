# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The systems of the hypervisors that the tests boot: a Debian with a systemd, logind, sshd and sudo, and what the role host installs.

Root makes them once, from the package sources of this host, and keeps them in MAQET_TEST_CACHE.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .debian import WITHOUT, _run

USER = "ann"
PACKAGES = ["ca-certificates", "dbus", "iproute2", "libpam-systemd", "openssh-client", "openssh-server", "python3", "python3-apt", "sudo", "systemd-sysv"]
# What the role installs is there before: it would take minutes in each run.
ROLE = Path(__file__).parents[2] / "roles/host/vars/debian.yml"
ROLE_LISTS = ("x86_64", "__host_packages_base", "__host_packages_systemd", "__host_packages_python")
# As this host trusts servers and finds Python's packages, they do.
AS_HERE = ["etc/ssl/certs/ca-certificates.crt", "etc/pip.conf"]


def place_of(release):
    recipe = hashlib.sha256(Path(__file__).read_bytes() + ROLE.read_bytes()).hexdigest()[:12]
    return Path(os.environ["MAQET_TEST_CACHE"]) / f"hypervisor-{release}-{recipe}"


def make_systems(releases):
    """Each release's, whole or not at all."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(_make, releases))


def _make(release):
    folder = place_of(release)
    if folder.exists():
        return
    for old in folder.parent.glob(f"hypervisor-{release}-*"):
        shutil.rmtree(old)
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    work.mkdir(parents=True)
    try:
        _build(release, work)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _build(release, work):
    options = [f"--dpkgopt=path-exclude={path}" for path in WITHOUT] + ["--dpkgopt=force-unsafe-io"]
    options += ['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"', f"--include={','.join([*PACKAGES, *_of_the_role()])}"]
    root = work / "root"
    _run("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory", *options, release, root, *_sources(release, work))
    for path in AS_HERE:
        if (Path("/") / path).exists():
            shutil.copy(f"/{path}", root / path)
    _run("chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", USER)
    (root / f"etc/sudoers.d/{USER}").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")


def _of_the_role():
    text = ROLE.read_text()
    return [package for name in ROLE_LISTS for package in re.search(rf"{name}: \[(.*)\]", text)[1].split(", ")]


def _sources(release, work):
    """The host's own, for that release."""
    here = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())[1]
    found = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("debian*")]
    for path in [path for path in found if path.is_file() and path.suffix in (".list", ".sources")]:
        copy = work / path.name
        copy.write_text(re.sub(rf"\b{here}\b", release, path.read_text()))
        yield copy
