# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who saved a guest's memory, and whether this host can go on from it: known before anything is started."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from .._errors import HostError
from .accel import why_no_kvm
from .host import Host
from .memory import Saved
from .probe import qemu_facts

# Models that are the host's own CPU; all others are what their name says on every host.
_HOSTS_OWN = ("host", "max", "")
_WORDS = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU part", "Features")


def identity_of(version: str, accel: str, spec: dict[str, Any]) -> dict[str, Any]:
    """What memory is saved by; ``cpu`` only where the guest sees the host's own."""
    own = accel == "kvm" and (spec.get("cpu_model") or "").partition(",")[0] in _HOSTS_OWN
    return {"qemu": version, "accel": accel, **({"cpu": host_cpu()} if own else {})}


def host_cpu() -> str:
    """The host's CPU in words for people, and a sum of what a guest sees of it."""
    facts: dict[str, str] = {}
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            key, _colon, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    seen = "\n".join(" ".join(sorted(facts.get(word, "").split())) for word in _WORDS)
    return f"{facts.get('model name', 'a CPU')} ({hashlib.sha256(seen.encode()).hexdigest()[:8]})"


async def check_fit(host: Host, saved: Saved, by: dict[str, Any], argv: list[str]) -> None:
    """
    :param by: what :func:`identity_of` said when it was saved; argv: the command line that it needs.
    :raises HostError: why this host cannot go on from it; the memory stays.
    """
    keep = "It is kept; state: stopped with force: true gives it up"
    if not os.path.exists(saved.file):
        raise HostError(f"the saved memory is gone: {saved.file}", hint="Put it back, or state: stopped with force: true gives it up")
    if not os.path.exists(argv[0]):
        raise HostError(f"the memory was saved by {argv[0]}, which is not installed", hint=f"Install it. {keep}")
    if by.get("accel") == "kvm":
        reason = why_no_kvm(os.path.basename(argv[0]).replace("qemu-system-", ""))
        if reason:
            raise HostError(f"the memory was saved under kvm, which cannot be used: {reason}", hint=keep)
    if by.get("qemu"):
        version = (await qemu_facts(host.paths, argv[0], keep=host.keeps))["version"]
        if _release(version) < _release(by["qemu"]):
            raise HostError(f"the memory was saved by QEMU {by['qemu']}, and an older one ({version}) cannot load it", hint=f"Update QEMU. {keep}")
    if by.get("cpu") and by["cpu"] != host_cpu():
        raise HostError(
            f"the memory was saved on another CPU: {by['cpu']}, here {host_cpu()}", hint=f"Go on there, or on one like it; cpu_model names one for both. {keep}"
        )


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])
