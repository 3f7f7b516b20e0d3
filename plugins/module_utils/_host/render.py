# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine's command line: from its declaration, for this host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._plan.record import Record
from .._spec import slots
from .._spec.declaration import blueprint, slot_names
from .._spec.part import command_line
from .accel import choose_accel
from .probe import find_qemu


def render_anew(record: Record) -> None:
    """The command line of the declaration: what the last QEMU was told and refused is past."""
    record.accel, _warning = choose_accel(record.declared["accel"], record.declared["arch"])
    record.started, record.refused, record.plugged = None, {}, []
    _seat(record)
    render(record, record.declared)
    record.applied = record.declared


def render(record: Record, spec: dict[str, Any]) -> None:
    site = record.site()._replace(spec=spec)
    record.argv = [find_qemu(spec["arch"]), *command_line(blueprint(spec, site)), *spec["extra_args"]]


def _seat(record: Record) -> None:
    """Each device keeps its PCIe port; those of devices that are gone are free again, and there are spare ones."""
    identity = record.identity
    if slots.has_slots(identity["machine"]):
        names = slot_names(record.declared, identity.get("pci", ()))
        stored = identity.get("slots", {})
        identity["slots"] = slots.allot(names, {name: stored[name] for name in names if name in stored})
        identity["pcie_ports"] = slots.port_count(identity["slots"]) if slots.has_ports(identity["machine"]) else 0
    else:
        identity["slots"], identity["pcie_ports"] = {}, 0


def argv_changes(record: Record) -> list[str]:
    """What a start of the declaration changes in the command line: ``- -smp cpus=1``, ``+ -smp cpus=2``."""
    new = record.copy()
    render_anew(new)
    before, after = list(_words(record.argv)), list(_words(new.argv))
    return [*(f"- {word}" for word in before if word not in after), *(f"+ {word}" for word in after if word not in before)]


def _words(argv: list[str]) -> Iterator[str]:
    """Each flag with its value."""
    flag = ""
    for word in argv[1:]:
        if word.startswith("-"):
            if flag:
                yield flag
            flag = word
        else:
            yield f"{flag} {word}"
            flag = ""
    if flag:
        yield flag
