# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine as it is: the normal form that was applied, corrected by what the running QEMU says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import cpu, disk, escape, inputs, memory, nic, service
from .declaration import OPTIONS
from .facts import Facts

Correction = tuple[tuple[str, ...], Any]


def in_force(spec: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """``spec`` itself when QEMU is as it says; else a copy that says how QEMU is. An element that is gone is left out."""
    corrections = list(_missing(spec, facts))
    gone = {where for where, _value in corrections}
    for family in (cpu, memory, disk, nic, inputs, escape, service):
        corrections += [item for item in family.observe(spec, facts) if item[0][:2] not in gone]
    for where, value in corrections:
        spec = _with(spec, where, value)
    return spec


def _missing(spec: dict[str, Any], facts: Facts) -> Iterator[Correction]:
    for option in OPTIONS:
        if not option.device:
            continue
        value = spec.get(option.name)
        if option.type == "keyed":
            for name in value or ():
                if option.device.format(name) not in facts.devices:
                    yield (option.name, name), None
        elif value and option.device not in facts.devices:
            yield (option.name,), False


def _with(spec: dict[str, Any], where: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy of ``spec`` with one value changed; an element of a keyed option set to None is gone."""
    head, *rest = where
    if rest:
        return {**spec, head: _with(spec[head], tuple(rest), value)}
    if value is None and isinstance(spec[head], dict):
        return {name: item for name, item in spec.items() if name != head}
    return {**spec, head: value}
