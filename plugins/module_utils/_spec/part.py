# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A piece of a machine as QEMU knows it, and its two ways in: the command line and QMP."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

Value = Any
"""Property dict; or plain text; or None for a bare flag."""

_JSON = frozenset({"device", "blockdev", "netdev", "object"})
_HOT = {
    "device": ("device_add", "device_del", "id"),
    "blockdev": ("blockdev-add", "blockdev-del", "node-name"),
    "netdev": ("netdev_add", "netdev_del", "id"),
    "object": ("object-add", "object-del", "id"),
}


class Part(NamedTuple):
    """``kind`` is QEMU's own option name (``device``, ``blockdev``, ``machine``, …)."""

    kind: str
    value: Value = None


def command_line(parts: list[Part]) -> list[str]:
    """The parts as QEMU arguments, one flag and its value after the other."""
    argv: list[str] = []
    for kind, value in parts:
        argv.append(f"-{kind}")
        if value is None:
            continue
        if isinstance(value, str):
            argv.append(value)
        elif kind in _JSON:
            argv.append(json.dumps(value, separators=(",", ":")))
        else:
            argv.append(_keyval(value))
    return argv


def hot_plug(part: Part) -> dict[str, Any]:
    """The QMP command that adds the part to a running QEMU: the same dict that its argument carries."""
    return {"execute": _HOT[part.kind][0], "arguments": part.value}


def unplug(part: Part) -> dict[str, Any]:
    """The QMP command that takes the part away."""
    _add, command, key = _HOT[part.kind]
    return {"execute": command, "arguments": {key: part.value[key]}}


def unique(parts: Iterable[Part]) -> list[Part]:
    """Each part once: a controller comes with every device that needs it."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for part in parts:
        name = part.value.get(_HOT[part.kind][2]) if part.kind in _HOT else None
        if name is None or (part.kind, name) not in seen:
            kept.append(part)
        seen.add((part.kind, name or ""))
    return kept


def _keyval(properties: dict[str, Any]) -> str:
    return ",".join(f"{name}={_word(value)}" for name, value in properties.items())


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value).replace(",", ",,")
