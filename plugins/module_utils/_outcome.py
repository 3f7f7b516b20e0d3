# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of one machine in a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._spec.forward import forwards

if TYPE_CHECKING:
    from ._errors import MaqetError
    from ._plan.record import Record
    from ._plan.wish import Observed


@dataclass(repr=False, eq=False)
class Outcome:
    """
    :param actions: what was done (in check mode: would be), in order: ``{action, summary, …}``.
    :param before, after: the machine as a user would write it, for the diff.
    """

    name: str
    changed: bool = False
    actions: list[dict[str, Any]] = field(default_factory=list)
    pending_restart: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    vm: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    error: MaqetError | None = None


def machine_facts(record: Record | None, seen: Observed) -> dict[str, Any]:
    """``vm`` of a task's result."""
    if record is None:
        return {}
    running = seen.spec or record.declared
    ports = [item._asdict() for item in forwards(running, record.identity)]
    return {
        "name": record.name,
        "uuid": record.identity.get("uuid"),
        # QEMU's word for one that has not run yet is a detail of its start.
        "status": "paused" if seen.status == "prelaunch" else seen.status,
        "pid": seen.pid,
        "unit": record.unit if record.supervisor == "systemd" else None,
        "supervisor": record.supervisor,
        "directory": record.directory,
        "sockets": record.sockets_of(running),
        "forwards": ports,
        "accel": record.accel or None,
        "machine": record.identity.get("machine"),
        "qemu_version": seen.qemu_version or record.qemu_version or None,
        "macs": record.identity.get("macs", {}),
        "cid": record.identity.get("cid"),
        "labels": record.declared.get("labels", {}),
    }
