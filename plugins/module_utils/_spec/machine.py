# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The board: architecture, machine type, accelerator, and what every machine is given."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

from .firmware import board
from .option import Option
from .part import Part
from .site import Site

_ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}
_MACHINES = {"x86_64": "q35", "i386": "q35", "aarch64": "virt", "arm": "virt", "riscv64": "virt", "s390x": "s390-ccw-virtio", "ppc64": "pseries"}
_SANDBOX = {"enable": True, "obsolete": "deny", "elevateprivileges": "deny", "spawn": "deny", "resourcecontrol": "deny"}

OPTIONS = (
    Option("arch", pattern="^[a-z0-9_]+$", expects="a QEMU target, as in qemu-system-<arch>, such as x86_64 or aarch64"),
    Option("machine", pattern="^[A-Za-z0-9_.-]+$", expects="a machine type or alias that this QEMU has, such as q35 or virt"),
    Option("accel", "str", "auto", choices=("auto", "kvm", "tcg")),
)


def default_arch() -> str:
    """This host's own architecture, in QEMU's word."""
    here = platform.machine()
    return _ARCHES.get(here, here)


def default_machine(arch: str) -> str:
    """The machine type, or its alias, of an architecture's guests."""
    return _MACHINES.get(arch, "virt")


def fill(spec: dict[str, Any]) -> None:
    """Defaults that depend on the host or on one another."""
    spec["arch"] = spec["arch"] or default_arch()
    spec["machine"] = spec["machine"] or default_machine(spec["arch"])


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    # What the host's configuration or QEMU's habit would add is not declared: it stays out.
    yield Part("nodefaults")
    yield Part("no-user-config")
    yield Part("machine", {"type": site.identity["machine"], **_properties(spec), **board(spec, site)})
    yield Part("accel", {"accel": site.accel})
    yield Part("sandbox", dict(_SANDBOX))
    yield Part("pidfile", f"{site.directory}/qemu.pid")


def _properties(spec: dict[str, Any]) -> dict[str, Any]:
    properties = {}
    if spec.get("shares"):
        properties["memory-backend"] = "memory"
    if spec["arch"] == "aarch64" and spec["machine"].startswith("virt"):
        properties["gic-version"] = "max"  # QEMU's default, version 2, ends at 8 CPUs
    return properties
