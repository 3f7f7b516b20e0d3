# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What both supervisors take and give."""

from __future__ import annotations

import sys
from typing import NamedTuple

from .._spec.helper import Helper


class Service(NamedTuple):
    """A machine as a supervisor runs it.

    :param paused: start with the virtual CPUs stopped, this once: a restart after a crash runs.
    :param properties: the unit's limits and restart policy, in systemd's words.
    :param stop_seconds: how long the guest may take to power down when the host shuts down.
    :param joins: bridges of the host that QEMU is connected to before it starts, as arguments of ``joined.py``.
    :param helpers: programs that must listen before QEMU starts, and end with it; their programs' paths are known.
    """

    machine: str
    unit: str
    directory: str
    argv: list[str]
    paused: bool
    properties: dict[str, str]
    qmp_socket: str
    stop_seconds: float
    helpers: tuple[Helper, ...] = ()
    joins: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """What is run: QEMU, or what becomes it."""
        return [sys.executable, joined_script(self), *self.joins, "--", *self.argv] if self.joins else self.argv


def joined_script(service: Service) -> str:
    return f"{service.directory}/joined.py"


def helper_log(service: Service, helper: Helper) -> str:
    return f"{service.directory}/{helper.name}.log"


class UnitFacts(NamedTuple):
    """A unit's state in systemd's words: ``active``, ``activating``, ``inactive``, ``failed``, …, and its finer one."""

    state: str
    sub_state: str = ""

    @property
    def at_rest(self) -> bool:
        """It does not run and will not by itself."""
        return self.state in ("inactive", "failed")

    @property
    def ended(self) -> bool:
        """What was started has ended, to be started again perhaps."""
        return self.at_rest or self.sub_state == "auto-restart"
