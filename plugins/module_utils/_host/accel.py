# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which accelerator runs a stock guest here, and why not the other."""

from __future__ import annotations

import os

from .._errors import HostError
from .._spec.machine import default_arch

_DEVICE = "/dev/kvm"


def why_no_kvm(arch: str) -> str:
    """Why KVM cannot run a stock guest of ``arch``; empty when it can."""
    here = default_arch()
    if arch != here and (arch, here) != ("i386", "x86_64"):
        return f"this host is {here}, the guest {arch}"
    if not os.path.exists(_DEVICE):
        return f"there is no {_DEVICE}"
    # A device without the processor's own module (kvm_pvm) opens and never runs a stock kernel.
    vendors = [name for name in ("kvm_intel", "kvm_amd") if os.path.isdir(f"/sys/module/{name}")]
    if here in ("x86_64", "i386") and not vendors:
        return f"{_DEVICE} is there without kvm_intel or kvm_amd, and stock kernels hang on such a one"
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return f"{_DEVICE} may not be opened by this user (the group kvm may)"
    return ""


def choose_accel(wished: str, arch: str) -> tuple[str, str]:
    """``kvm`` or ``tcg``, and a warning when the choice is not what a user would hope for.

    :raises HostError: ``kvm`` was asked for and is not usable.
    """
    if wished == "tcg":
        return "tcg", ""
    reason = why_no_kvm(arch)
    if not reason:
        return "kvm", ""
    if wished == "kvm":
        raise HostError(f"accel: kvm cannot be used: {reason}", hint="accel: auto takes tcg instead")
    return "tcg", f"the machine runs on tcg, which is slow: {reason}"
