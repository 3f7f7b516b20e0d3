# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine that was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

import ansible.release
from ansible_collections.maqet.qemu.plugins.module_utils._host.accel import choose_accel
from common import ROUNDS


def facts():
    pairs = {
        "CPU": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / (1 << 30):.0f} GiB",
        "kernel": platform.release(),
        "system": _value("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "QEMU": _first("qemu-system-x86_64", "--version").replace("QEMU emulator version ", ""),
        "systemd": _first("systemctl", "--version"),
        "Python": platform.python_version(),
        "ansible-core": ansible.release.__version__,
        "accelerator": choose_accel("auto", "x86_64")[0],
        "libvirt": _first("/usr/sbin/libvirtd", "--version").rpartition(" ")[2],
        "rounds": str(ROUNDS),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "date": time.strftime("%Y-%m-%d"),
    }
    return {name: value for name, value in pairs.items() if value}


def available_mib():
    return int(_value("/proc/meminfo", "MemAvailable", ":").split()[0]) >> 10


def _cpu():
    return _value("/proc/cpuinfo", "model name", ":") or platform.machine()


def _value(file, key, sign):
    """Of the first line of that key."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return next((value.strip() for name, _sign, value in (line.partition(sign) for line in lines) if name.strip() == key), "")


def _first(*argv):
    """The first line that a program says; nothing without the program."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""
