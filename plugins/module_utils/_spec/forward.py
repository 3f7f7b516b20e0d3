# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports of the host that lead to ports of the guest. Lean: a task with nothing to do reads no more of a network card."""

from __future__ import annotations

from typing import Any, NamedTuple


class Forward(NamedTuple):
    """A port of the host that leads to one of the guest. ``host`` is None until a port is allotted."""

    nic: str
    protocol: str
    listen: str
    host: int | None
    guest: int

    @property
    def key(self) -> str:
        return f"{self.nic}/{self.protocol}/{self.guest}"

    @property
    def listener(self) -> str:
        """QEMU's word for the host's side, as ``hostfwd_remove`` wants it."""
        return f"{self.protocol}:{self.listen}:{self.host}"


def forwards(spec: dict[str, Any], identity: dict[str, Any]) -> list[Forward]:
    """Every forward of the machine; ``auto`` ones carry the port allotted in ``identity``."""
    return [forward_of(name, item, identity) for name, nic in spec["nics"].items() for item in nic["forwards"].values()]


def forward_of(nic: str, item: dict[str, Any], identity: dict[str, Any]) -> Forward:
    host = None if item["host"] == "auto" else int(item["host"])
    named = Forward(nic, item["protocol"], item["listen"], host, item["guest"])
    return named if host is not None else named._replace(host=identity.get("ports", {}).get(named.key))
