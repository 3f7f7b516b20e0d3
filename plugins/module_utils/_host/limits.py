# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A running unit's limits and restart policy: read from systemd, changed by a drop-in of ours.

``Restart=`` of a loaded unit cannot be set over D-Bus, a drop-in sets it and the limits alike. It lies beside the transient
unit's own file, so systemd removes it with the unit.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from .paths import make_private, write_private

if TYPE_CHECKING:
    from .dbus import Manager

# The last of a unit's drop-ins by name, wherever they lie, has the last word.
_NAME = "zz-maqet.conf"
# Where systemctl set-property and systemctl edit leave theirs (systemd.unit(5)).
_OTHERS = ("systemd/user.control", "systemd/user")
# What a word says when it is not limited: an empty value resets it.
_UNLIMITED = {"MemoryMax": "infinity", "CPUQuota": "", "CPUWeight": "", "IOWeight": "", "Restart": "no"}
_INFINITE = (1 << 64) - 1


def _ours(runtime: str, unit: str) -> str:
    return f"{runtime}/systemd/transient/{unit}.d"


def _foreign(runtime: str, unit: str) -> list[str]:
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [f"{base}/{place}/{unit}.d" for base in (runtime, config) for place in _OTHERS]


def is_touched(runtime: str, unit: str) -> bool:
    """Whether anything was changed since the unit was started: then systemd is worth asking."""
    return any(os.path.isdir(place) for place in (_ours(runtime, unit), *_foreign(runtime, unit)))


async def read(manager: Manager, unit: str) -> dict[str, Any]:
    """The values by option (``memory_max``, …, ``restart_policy``), None where there is no limit."""
    path = (await manager.call("LoadUnit", "s", unit))[0]
    facts = await manager.properties(path, "Service")
    values = {
        "memory_max": facts.get("MemoryMax"),
        "cpu_quota": facts.get("CPUQuotaPerSecUSec"),
        "cpu_weight": facts.get("CPUWeight"),
        "io_weight": facts.get("IOWeight"),
    }
    limits = {name: None if value == _INFINITE else value for name, value in values.items()}
    if limits["cpu_quota"] is not None:
        limits["cpu_quota"] = f"{limits['cpu_quota'] // 10_000}%"
    return {**limits, "restart_policy": facts.get("Restart")}


async def write(manager: Manager, runtime: str, unit: str, properties: dict[str, str]) -> None:
    """Put the properties in force, and nobody else's."""
    for place in _foreign(runtime, unit):
        shutil.rmtree(place, ignore_errors=True)
    lines = [f"{name}={value}" for name, value in {**_UNLIMITED, **properties}.items()]
    make_private(_ours(runtime, unit))
    write_private(f"{_ours(runtime, unit)}/{_NAME}", "\n".join(["[Service]", *lines, ""]), durable=False)
    await manager.call("Reload")
