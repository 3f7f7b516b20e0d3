# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine in this process, or in a child that ends at a step boundary."""

from __future__ import annotations

import os
import signal
import traceback

from ansible_collections.maqet.qemu.plugins.module_utils._engine import Engine
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.module_utils._host.host import Host
from ansible_collections.maqet.qemu.plugins.module_utils._host.paths import Paths
from ansible_collections.maqet.qemu.plugins.module_utils._plan.snapshot import SnapshotTask
from ansible_collections.maqet.qemu.plugins.module_utils._plan.wish import Wish
from ansible_collections.maqet.qemu.plugins.module_utils._snapshots import snapshots

__all__ = ["Wish", "die_at", "die_at_boundaries", "reach", "reach_all", "snap"]


def reach(home, name, witness=None, **wish):
    """What became of the machine."""
    (outcome,) = reach_all(home, [Wish(name, **wish)], witness=witness)
    if outcome.error:
        raise outcome.error
    return outcome


def reach_all(home, wishes, *, check=False, **engine):
    host = host_of(home)
    try:
        return Engine(host, **engine).run(wishes, check=check)
    finally:
        host.store.close()


def snap(home, name="", label="point", witness=None, check=False, lab="", **task):
    """What became of the snapshot."""
    host = host_of(home)
    try:
        return snapshots(SnapshotTask(label, **task), name=name, lab=lab, check=check, engine=Engine(host, witness=witness))
    finally:
        host.store.close()


def host_of(home):
    return Host(Paths(f"{home.state}/maqet", f"{home.data}/maqet", f"{home.cache}/maqet", str(home.runtime)))


class At:
    """A witness that does something at the boundary with this number."""

    def __init__(self, number, act):
        self.number, self.act, self.moments = number, act, []

    def __call__(self, moment):
        self.moments.append(moment)
        if len(self.moments) == self.number + 1:
            self.act()


class Cut(At):
    """A witness that kills its process there."""

    def __init__(self, number):
        super().__init__(number, lambda: os.kill(os.getpid(), signal.SIGKILL))


def die_at_boundaries(home, names, wish, act=reach):
    """Bring each machine to the wish in a child of its own that dies at a boundary: the first machine's at the first."""
    children = [_begin_and_die(home, name, number, wish, act) for number, name in enumerate(names)]
    for child in children:
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status), "the child came to its own end"


def die_at(home, name, number, wish, act=reach):
    """Bring the machine to the wish in a child that dies at the boundary with this number, if it comes so far."""
    os.waitpid(_begin_and_die(home, name, number, wish, act), 0)


def _begin_and_die(home, name, number, wish, act=reach):
    child = os.fork()
    if child:
        return child
    try:
        act(home, name, witness=Cut(number), **wish)
    except BaseException as exc:  # noqa: BLE001 - the child must not go on as a second pytest
        traceback.print_exception(exc, limit=0 if isinstance(exc, MaqetError) else None)
    os._exit(1)
