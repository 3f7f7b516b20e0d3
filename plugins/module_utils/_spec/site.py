# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where one machine lives and what was allotted to it: all that its parts need beside its declaration."""

from __future__ import annotations

from typing import Any, NamedTuple


class Site(NamedTuple):
    """
    :param name: the machine's name.
    :param accel: ``kvm`` or ``tcg``, already decided.
    :param directory: its files.
    :param sockets: path by use: ``qmp``, ``monitor``, ``agent``, ``serial``, ``vnc``.
    :param identity: what was made once and is stored: ``uuid``, ``machine`` (versioned type), ``macs`` by NIC,
        ``ports`` by ``<nic>/<protocol>/<guest port>``, ``formats`` by disk, ``slots`` (PCIe ports) by device, ``salt`` (random, known to nobody),
        ``switches`` by name (``{medium, path}``), ``neighbours`` (addresses by host name, as of the last start).
    :param spec: the whole declaration that a change leads to; started: the normal form that the running QEMU was started with.
    :param running: the normal form that is in force; plugged: ids of the devices that were ever added to it;
        facts: what that QEMU says of itself.
    """

    name: str
    accel: str
    directory: str
    sockets: dict[str, str]
    identity: dict[str, Any]
    spec: dict[str, Any] = {}
    started: dict[str, Any] | None = None
    facts: Any = None
    running: dict[str, Any] = {}
    plugged: tuple[str, ...] = ()
