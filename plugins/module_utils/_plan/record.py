# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is stored of a machine: in the state DB, and as ``machine.json`` beside its disks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from .._errors import StateError
from .._spec.site import Site

SCHEMA = 5
_CHANGED_IN_PLACE = ("made", "doomed", "refused", "plugged", "identity", "anew", "bases", "memory", "snapshots", "wired")


@dataclass
class Record:
    """
    :param raw: the declaration as written; declared: its normal form.
    :param applied: the normal form that the running QEMU was started with and changed to since;
        argv: its exact command line; started: what it was started with, where changes followed, and told: that QEMU's pid.
        One that systemd started again after a crash has the first pid no more, and what was changed since is gone.
    :param plugged: ids of the devices that were ever added to the running QEMU.
    :param refused: changes that this QEMU or its guest refused, with why: they wait for the next start.
    :param power: what the last task left it as: ``running``, ``paused``, ``stopped`` or ``suspended``.
    :param identity: what was made once (see :class:`Site`).
    :param made: our disk files, by disk, with the size each was made or grown to (None: its image's); and its UEFI variables, by path.
    :param doomed: files of removed disks with ``on_remove: delete``, by disk; they go when QEMU has let go of them.
    :param anew: disks that are to be made anew, in the place of their data.
    :param bases: what each of our overlays lies on, by disk: ``{image, content, file, format, stamp}``.
    :param suspended: the guest's memory is saved in the machine's directory; memory: by what it was, ``{qemu, cpu}``.
    :param snapshots: points in time to go back to, by label.
    :param reverting: the label whose disks are being put back; frozen: the guest's file systems may be held still by us.
    :param wired: the switch that each card was connected to last, by card: who it was (see ``_host/wires.py``).
    :param imported: the UUID of the machine that it came from, and whether all of it is here: ``{uuid, whole}``.
    :param lab: the lab that made it, and may prune it.
    """

    name: str
    supervisor: str
    directory: str
    run_dir: str
    raw: dict[str, Any] = field(default_factory=dict)
    declared: dict[str, Any] = field(default_factory=dict)
    applied: dict[str, Any] | None = None
    started: dict[str, Any] | None = None
    told: int | None = None
    plugged: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    power: str = ""
    identity: dict[str, Any] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)
    accel: str = ""
    qemu_version: str = ""
    made: dict[str, int | None] = field(default_factory=dict)
    doomed: dict[str, str] = field(default_factory=dict)
    anew: list[str] = field(default_factory=list)
    bases: dict[str, dict[str, Any]] = field(default_factory=dict)
    suspended: bool = False
    memory: dict[str, Any] = field(default_factory=dict)
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)
    reverting: str = ""
    frozen: bool = False
    imported: dict[str, Any] = field(default_factory=dict)
    wired: dict[str, str] = field(default_factory=dict)
    lab: str = ""
    schema: int = SCHEMA

    @property
    def unit(self) -> str:
        return f"maqet-vm-{self.name}.service"

    @property
    def sockets(self) -> dict[str, str]:
        """Paths of the sockets that the declared machine has, by use."""
        return self.sockets_of(self.declared)

    def sockets_of(self, spec: dict[str, Any]) -> dict[str, str]:
        """Paths of the sockets that a machine of that normal form has, by use."""
        screen = spec.get("display", {}).get("type", "none")
        uses = ["qmp", "monitor", "serial", *(["agent"] if spec.get("guest_agent") else []), *([screen] if screen != "none" else [])]
        return {use: f"{self.run_dir}/{use}.sock" for use in uses}

    @property
    def refused_disks(self) -> set[str]:
        """Disks that the guest did not let go of."""
        return {name for name in self.doomed if f"disks[{name}]" in self.refused}

    def site(self) -> Site:
        return Site(self.name, self.accel, self.directory, self.sockets, self.identity, self.declared, self.started, plugged=tuple(self.plugged))

    def applied_to(self, pid: int | None) -> dict[str, Any]:
        """The normal form that the QEMU with this pid was brought to."""
        forgotten = self.started is not None and self.told != pid
        return (self.started if forgotten else self.applied) or {}

    def copy(self) -> Record:
        """A copy to change: what steps change in place is its own."""
        own = {name: type(value)(value) for name, value in vars(self).items() if name in _CHANGED_IN_PLACE}
        return replace(self, **own)

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, data: dict[str, Any]) -> Record:
        if data.get("schema", 0) > SCHEMA:
            raise StateError(
                f"the record of {data.get('name')!r} was written by a newer maqet.qemu (schema {data['schema']}, here {SCHEMA})",
                hint="Update the collection on this host",
            )
        known = {item.name for item in fields(cls)}
        record = cls(**{key: value for key, value in data.items() if key in known})
        if record.schema < SCHEMA:
            from .._spec.declaration import upgrade

            record.declared, record.applied = upgrade(record.declared), record.applied and upgrade(record.applied)
            record.bases = record.bases or {name: base for name, base in _older_bases(record) if name in record.made}
            record.schema = SCHEMA
        return record


def _older_bases(record: Record) -> Iterator[tuple[str, dict[str, Any]]]:
    """Before schema 3 an overlay's base was its image's path, and nobody wrote down what it was like."""
    formats = record.identity.get("formats", {})
    for name, disk in record.declared["disks"].items():
        if disk["image"]:
            yield name, {"image": disk["image"], "content": "", "file": disk["image"], "format": formats.get(name, "raw"), "stamp": []}
