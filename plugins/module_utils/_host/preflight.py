# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a start needs of this host, looked at before anything is done: in check mode too."""

from __future__ import annotations

import os

from .._errors import HostError
from .._plan.plan import Plan
from .._plan.record import Record
from .._plan.steps import Define, Start, Tell
from .._plan.wish import Observed
from .._spec.declaration import host_files
from .._spec.nic import forwards
from . import ports
from .accel import choose_accel
from .host import Host
from .observe import listening
from .paths import SOCKET_PATH_MAX, check_readable
from .probe import find_qemu


async def preflight(host: Host, plan: Plan, new: Record, seen: Observed) -> list[str]:
    """Warnings.

    :raises HostError: naming what is missing.
    """
    starts = any(isinstance(step, Start) for step in plan.steps)
    if not starts and not any(isinstance(step, (Define, Tell)) for step in plan.steps):
        return []
    _check_sockets(new)
    find_qemu(new.declared["arch"])
    _accel, warning = choose_accel(new.declared["accel"], new.declared["arch"])
    first = seen.status == "absent"
    named = [change.path for change in plan.changes]
    for option, path in host_files(new.declared):
        # One that is declared for a later start is looked at now; one that was there before, when it is needed.
        if starts or first or any(option.startswith(changed) for changed in named):
            check_readable(option, path)
    if starts or first or any(isinstance(step, Tell) and step.change for step in plan.steps):
        held = await listening(new) if seen.alive else set()
        others = {port: name for port, name in host.store.ports().items() if name != new.name}
        ports.check(forwards(new.declared, new.identity), held, others)
    if not starts:
        return []
    return [words for words in (warning, _unsupervised(host, new)) if words]


def _check_sockets(new: Record) -> None:
    for use, path in new.sockets.items():
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
    return f"under supervisor process the machine {' and '.join(lacking)}" if lacking else ""
