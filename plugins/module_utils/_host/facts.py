# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a running QEMU is asked about itself: one batch, and only what its declaration speaks of."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from .._errors import QmpError
from .._spec.facts import Facts
from .qmp import Monitor

# "net-lan": index=0,type=user,… or "Hub 0 (net-lan):"; then "  TCP[HOST_FORWARD]  12  127.0.0.1  2222  10.0.2.15  22":
# QMP has no query for either (see docs/decisions/0006).
_NETDEV = re.compile(r"\((\S+)\):\s*$")
_FORWARD = re.compile(r"(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)")
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - what "*" in that table means
_USERNET = ("human-monitor-command", {"command-line": "info usernet"})


async def ask(monitor: Monitor, spec: dict[str, Any]) -> tuple[str, Facts]:
    """QEMU's status, and its facts."""
    questions: dict[str, tuple[str, dict[str, Any] | None]] = {
        "status": ("query-status", None),
        "devices": ("qom-list", {"path": "/machine/peripheral"}),
    }
    if spec.get("objects"):
        questions["objects"] = ("qom-list", {"path": "/objects"})
    if spec.get("disks"):
        questions["blocks"] = ("query-block", None)
    if any(nic["forwards"] for nic in spec.get("nics", {}).values()):
        questions["forwards"] = _USERNET
    if spec.get("max_cpus"):
        questions["cpus"] = ("query-hotpluggable-cpus", None)
    if spec.get("max_memory"):
        questions["more_memory"] = ("qom-get", {"path": "/machine/peripheral/more-memory", "property": "requested-size"})
    answers = dict(zip(questions, await asyncio.gather(*(_ask(monitor, *question) for question in questions.values()))))
    facts = Facts(**{name: _READ[name](answer) for name, answer in answers.items() if name in _READ and answer is not None})
    return answers["status"]["status"], facts


async def _ask(monitor: Monitor, command: str, arguments: dict[str, Any] | None) -> Any:
    try:
        return await monitor.execute(command, arguments)
    except QmpError:
        if command == "query-status":
            raise
        return None  # a board without such CPUs, a device that is gone: nothing is known of it


def _children(items: list[dict[str, Any]]) -> frozenset[str]:
    return frozenset(item["name"] for item in items if item["type"].startswith("child<"))


def _blocks(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """``query-block`` by device id (``qdev`` is the id, or a path such as ``/machine/peripheral/<id>/virtio-backend``)."""
    return {item["qdev"].replace("/machine/peripheral/", "").partition("/")[0]: _block(item) for item in items if item.get("qdev")}


def _block(item: dict[str, Any]) -> dict[str, Any]:
    inserted = item.get("inserted") or {"image": {}}
    return {
        "inserted": "inserted" in item,
        "qdev": item["qdev"],
        "tray_open": item.get("tray_open"),
        "size": inserted["image"].get("virtual-size"),
        "file": inserted["image"].get("filename"),
        "iops": inserted.get("iops") or None,
        "bps": inserted.get("bps") or None,
    }


def _forwards(table: str) -> frozenset[tuple[str, str, str, int, int]]:
    netdev = ""
    found: set[tuple[str, str, str, int, int]] = set()
    for line in table.splitlines():
        named = _NETDEV.search(line)
        netdev = named.group(1) if named else netdev
        found.update(
            (netdev, kind.lower(), _EVERYWHERE if listen == "*" else listen, int(port), int(guest)) for kind, listen, port, guest in _FORWARD.findall(line)
        )
    return frozenset(found)


_READ: dict[str, Callable[[Any], Any]] = {
    "devices": _children,
    "objects": _children,
    "blocks": _blocks,
    "forwards": _forwards,
    "cpus": list,
    "more_memory": int,
}
