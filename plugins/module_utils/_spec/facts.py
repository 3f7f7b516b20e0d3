# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a running QEMU and its unit say of themselves, as far as declarations speak of it."""

from __future__ import annotations

from typing import Any, NamedTuple


class Facts(NamedTuple):
    """
    :param version: QEMU's, such as ``7.2.22``; devices: ids of the devices that have one; objects: of the objects.
    :param blocks: of each drive, by device, ``size``, ``file``, ``inserted``, ``tray_open``, ``iops``, ``bps``.
    :param cpus: ``query-hotpluggable-cpus``, where CPUs may come and go.
    :param forwards: ``(netdev, protocol, host port, guest port)`` of each, where the spec has any.
    :param more_memory: bytes asked of the memory that can come later.
    :param unit: the unit's properties that somebody set, in systemd's words; None when nobody did.
    :param unwired: cards whose switch has ended since they were connected to it, or is not there.
    :param started: the normal form that QEMU was started with.
    """

    version: str = "0"
    devices: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    blocks: dict[str, dict[str, Any]] = {}
    cpus: list[dict[str, Any]] = []
    forwards: frozenset[tuple[str, str, int, int]] | None = None
    more_memory: int | None = None
    unit: dict[str, Any] | None = None
    unwired: frozenset[str] = frozenset()
    started: dict[str, Any] = {}
