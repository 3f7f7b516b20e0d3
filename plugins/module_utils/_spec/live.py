# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deeds: what can be done to a machine while it runs. A family's ``live`` hook gives them, ``_host`` does them."""

from __future__ import annotations

from typing import Any, NamedTuple

from .part import Part

# Why a removal waits that a running guest may allow.
ASLEEP = "the guest is paused and cannot let go of it"


class Tell(NamedTuple):
    """QMP commands, in order; each is safe to say again.

    :param files: private files to write before, by path.
    """

    commands: list[dict[str, Any]]
    files: dict[str, str] = {}


class Plug(NamedTuple):
    """Parts to add, backends before what uses them."""

    parts: list[Part]


class Unplug(NamedTuple):
    """Parts to take away, in the order in which they were added.

    :param first: QMP commands to say before.
    """

    parts: list[Part]
    first: tuple[dict[str, Any], ...] = ()


class Unit(NamedTuple):
    """The unit's properties are set to what the declaration says."""


class Wait(NamedTuple):
    """Nothing can be done now: the change waits for the next start.

    :param reason: one clause, such as ``no PCIe port is free``.
    """

    reason: str
