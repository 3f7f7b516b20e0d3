# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines at a glance: what is stored of them, and whether their QEMU lives. Nobody is asked, so hundreds take milliseconds."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._plan.record import Record
from .._spec.forward import forwards
from . import recorder
from .liveness import living_pid
from .paths import find_paths
from .state import Store

_TAIL = 4096
_SAID = {"STOP": "paused", "RESUME": "running", "SUSPEND": "suspended", "WAKEUP": "running", "BLOCK_IO_ERROR": "io-error", "GUEST_PANICKED": "guest-panicked"}


class Choice(NamedTuple):
    """
    :param names: those machines; None: all. lab: only machines of that lab. labels: only machines that have each of them.
    """

    names: list[str] | None = None
    lab: str | None = None
    labels: dict[str, Any] | None = None


def choose(store: Store, choice: Choice) -> dict[str, Record]:
    """The records that are meant, by name."""
    return {name: record for name, record in store.load(choice.names).items() if _is_meant(record, choice)}


def _is_meant(record: Record, choice: Choice) -> bool:
    return has_labels(record.declared.get("labels", {}), choice.labels) and choice.lab in (None, lab_of(record))


def has_labels(own: dict[str, Any], wanted: dict[str, Any] | None) -> bool:
    """Whether each of the wanted labels is there, with that value."""
    return all(key in own and str(own[key]) == str(value) for key, value in (wanted or {}).items())


def lab_of(record: Record) -> str:
    """The lab that the machine belongs to: of a lab file, or by its label."""
    return record.lab or str(record.declared.get("labels", {}).get("lab", ""))


def glance(choice: Choice) -> tuple[list[dict[str, Any]], list[str]]:
    """What leads to each machine of the calling user, by name; and warnings."""
    store = Store(find_paths())
    try:
        return [_facts(record) for record in choose(store, choice).values()], store.warnings
    finally:
        store.close()


def _facts(record: Record) -> dict[str, Any]:
    pid = living_pid(record.directory)
    spec = record.applied_to(pid) if pid else record.declared
    nics = spec.get("nics", {})
    return {
        "name": record.name,
        "uuid": record.identity.get("uuid"),
        "status": _status(record, pid),
        "pid": pid,
        "lab": lab_of(record),
        "labels": record.declared.get("labels", {}),
        "forwards": [item._asdict() for item in forwards(spec, record.identity)],
        "networks": {name: nic["network"] for name, nic in nics.items()},
        "addresses": {name: nic["address"].partition("/")[0] for name, nic in nics.items() if nic["address"]},
        "macs": {**record.identity.get("macs", {}), **{name: nic["mac"] for name, nic in nics.items() if nic["mac"]}},
        "guest_agent": bool(spec.get("guest_agent")),
        "sockets": record.sockets_of(spec),
        "cid": record.identity.get("cid"),
        "unit": record.unit if record.supervisor == "systemd" else None,
        "directory": record.directory,
    }


def _status(record: Record, pid: int | None) -> str:
    """By the last words of QEMU's own that are recorded, else as the last task left the machine."""
    if pid is None:
        return "suspended" if record.suspended else "stopped"
    status = record.power if record.power in ("running", "paused") else "running"
    for event in recorder.events_since_start(record.directory, _TAIL):
        said = _SAID.get(event["event"], status)
        if event["event"] == "BLOCK_IO_ERROR" and event["data"].get("action") != "stop":
            continue
        # Who stops for a reason says the reason first.
        status = status if said == "paused" and status in ("io-error", "guest-panicked") else said
    return status
