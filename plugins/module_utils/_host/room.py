# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's free memory, and what a lab's machines may take of it."""

from __future__ import annotations

from collections.abc import Iterable

from .._spec.size import format_size

_MIB = 1 << 20
# What a QEMU takes at its start beside its guest's memory: 60 MB measured (7.2, q35, tcg), and the programs beside it.
_STARTING = 128 * _MIB


def available() -> int:
    """Bytes that programs can still get; a huge number where the kernel does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 1 << 60


def affordable(at_once: int) -> int:
    """So many starts at once, or those that there is memory for."""
    return max(1, min(at_once, available() // _STARTING))


def shortage(wanted: Iterable[int]) -> str:
    """What to tell of machines whose guests may take this memory; empty when there is enough."""
    most, free = sum(wanted), available()
    if most <= free:
        return ""
    return f"the machines that come may take {format_size(most // _MIB * _MIB)} of memory, and the host has {format_size(free // _MIB * _MIB)} left"
