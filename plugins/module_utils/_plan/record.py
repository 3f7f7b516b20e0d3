# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is stored of a machine: in the state DB, and as ``machine.json`` beside its disks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from .._errors import StateError
from .._spec.site import Site

SCHEMA = 1


@dataclass
class Record:
    """
    :param raw: the declaration as written; declared: its normal form.
    :param applied: the normal form that the running QEMU was started with and changed to since;
        argv: its exact command line.
    :param identity: what was made once (see :class:`Site`).
    :param made: our disk files, by disk, with the size each was made or grown to (None: its image's).
    :param doomed: files of removed disks with ``on_remove: delete``, by disk; they go when QEMU has let go of them.
    :param suspended: the guest's memory is saved in the machine's directory.
    """

    name: str
    supervisor: str
    directory: str
    run_dir: str
    raw: dict[str, Any] = field(default_factory=dict)
    declared: dict[str, Any] = field(default_factory=dict)
    applied: dict[str, Any] | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)
    accel: str = ""
    qemu_version: str = ""
    made: dict[str, int | None] = field(default_factory=dict)
    doomed: dict[str, str] = field(default_factory=dict)
    suspended: bool = False
    schema: int = SCHEMA

    @property
    def unit(self) -> str:
        return f"maqet-vm-{self.name}.service"

    @property
    def sockets(self) -> dict[str, str]:
        """Paths of the sockets that the declared machine has, by use."""
        uses = ["qmp", "monitor", "serial"]
        uses += ["agent"] if self.declared.get("guest_agent") else []
        uses += ["vnc"] if self.declared.get("display", {}).get("type") == "vnc" else []
        return {use: f"{self.run_dir}/{use}.sock" for use in uses}

    def site(self) -> Site:
        return Site(self.name, self.accel, self.directory, self.sockets, self.identity)

    def copy(self) -> Record:
        """A copy to change: what steps change in place is its own."""
        return replace(self, made=dict(self.made), doomed=dict(self.doomed))

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
        return cls(**{key: value for key, value in data.items() if key in known})
