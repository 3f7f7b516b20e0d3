# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a start needs of this host, looked at before anything is done: in check mode too."""

from __future__ import annotations

import os
from typing import Any

from .._errors import HostError
from .._plan.plan import Plan
from .._plan.record import Record
from .._plan.steps import Adjust, Define, MakeNvram, Start
from .._plan.wish import Observed
from .._spec.cloud_init import has_seed
from .._spec.declaration import helpers, host_files
from .._spec.firmware import image
from .._spec.forward import forwards
from . import ports
from .accel import choose_accel
from .build import check_build
from .host import Host
from .paths import SOCKET_PATH_MAX, check_readable
from .probe import find_qemu

# Options that need programs and devices of the host.
_WANTING = ("tpm", "vsock", "shares", "nics", "cloud_init")


async def preflight(host: Host, plan: Plan, new: Record, seen: Observed) -> list[str]:
    """Warnings.

    :raises HostError: naming what is missing.
    """
    starts = any(isinstance(step, Start) for step in plan.steps)
    if not starts and not any(isinstance(step, (Define, Adjust)) for step in plan.steps):
        return []
    _check_sockets(new)
    find_qemu(new.declared["arch"])
    _accel, warning = choose_accel(new.declared["accel"], new.declared["arch"])
    first = seen.status == "absent"
    named = [change.path for change in plan.changes]
    _check_files(new, named, anyway=starts or first)
    if starts or first or named:
        _check_firmware(plan, new)
        await check_build(host, new)
    if (starts or first or any(path.startswith(_WANTING) for path in named)) and _wants(new.declared):
        from .needs import check_needs

        check_needs(new.declared, new.site())
    adjusts = any(isinstance(step, Adjust) for step in plan.steps)
    await _check_switches(host, plan, new, anyway=starts or first, running=starts or adjusts)
    if starts or first or adjusts:
        held = {*(_held(new, seen) if seen.alive else ()), *(port for port, name in host.store.ports().items() if name in host.leaving)}
        others = {**host.promised, **host.ports()}
        ports.check(forwards(new.declared, new.identity), held, {port: name for port, name in others.items() if name != new.name})
    if not starts:
        return []
    if plan.resumes:
        from .memory import suspended_memory
        from .saved_by import check_fit

        await check_fit(host, suspended_memory(new), new.memory, new.argv)
    if new.declared["disks"]:
        from .bases import check_chains

        await check_chains(new)
    return [words for words in (warning, _unsupervised(host, new)) if words]


def _check_files(new: Record, named: list[str], *, anyway: bool) -> None:
    for option, path in host_files(new.declared):
        # One that is declared for a later start is looked at now; one that was there before, when it is needed.
        if anyway or any(option.startswith(changed) for changed in named):
            check_readable(option, path)


async def _check_switches(host: Host, plan: Plan, new: Record, *, anyway: bool, running: bool) -> None:
    changed = [*plan.changes, *(change for step in plan.steps if isinstance(step, Adjust) for change in step.changes)]
    if new.declared["nics"] and (anyway or any(change.where[0] == "nics" for change in changed)):
        from .wires import check_switches

        await check_switches(host, new, running=running)


def _held(new: Record, seen: Observed) -> set[tuple[str, int]]:
    """The host's ports that the machine's QEMU listens on: its own word where it answered, else what was applied."""
    if seen.status == "unresponsive":
        return {(item.protocol, item.host) for item in forwards(new.applied or {"nics": {}}, new.identity) if item.host}
    spec = seen.spec or {"nics": {}}
    beside = [item for item in forwards(spec, new.identity) if spec["nics"][item.nic]["network"] == "passt"]
    own = {(item.protocol, item.host) for item in beside if item.host}
    return own | {(protocol, port) for _netdev, protocol, _listen, port, _guest in seen.facts.forwards or ()}


def _wants(spec: dict[str, Any]) -> bool:
    return (
        spec["tpm"]
        or spec["vsock"]
        or bool(spec["shares"])
        or has_seed(spec)
        or any(nic["network"] not in ("user", "switch", "mcast") for nic in spec["nics"].values())
    )


def _check_firmware(plan: Plan, new: Record) -> None:
    """The UEFI image that the machine was given once, and the template where there are no variables yet."""
    chosen = image(new.declared, new.site())
    if chosen:
        check_readable("firmware", chosen["code"])
    for step in plan.steps:
        if isinstance(step, MakeNvram):
            check_readable("firmware", step.template)


def _check_sockets(new: Record) -> None:
    beside = {helper.name: helper.socket for helper in helpers(new.declared, new.site())}
    for use, path in {**new.sockets, **beside}.items():
        if len(os.fsencode(path)) > SOCKET_PATH_MAX:
            raise HostError(
                f"the path of the {use} socket is longer than {SOCKET_PATH_MAX} bytes: {path}",
                hint="Use a shorter XDG_RUNTIME_DIR (or TMPDIR, where there is no runtime directory)",
            )


def _unsupervised(host: Host, new: Record) -> str:
    if host.supervisor(new).restarts:
        return ""
    lacking = []
    if new.declared["restart_policy"] != "no":
        lacking.append("is not restarted when QEMU fails")
    if any(value is not None for value in new.declared["resources"].values()):
        lacking.append("has no resource limits")
    if any(new.declared["on_failure"].values()):
        lacking.append("starts nothing on_failure")
    return f"under supervisor process the machine {' and '.join(lacking)}" if lacking else ""
