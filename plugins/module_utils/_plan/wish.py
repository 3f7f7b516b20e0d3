# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of a machine, what is seen of it, and whether the two can differ at all."""

from __future__ import annotations

from typing import Any, NamedTuple

from .record import Record

_REACHED = {("started", "running"), ("present", "running"), ("present", "paused"), ("paused", "paused")}


class Wish(NamedTuple):
    """What a task asks of one machine: the spec options it gave (None: none), and its policy; ``recreate``: disks; ``lab``: whose it is."""

    name: str
    raw: dict[str, Any] | None = None
    state: str = "started"
    update: str = "replace"
    on_restart_needed: str = "defer"
    shutdown_timeout: float = 60
    timeout: float = 60
    force: bool = False
    supervisor: str = "auto"
    recreate: tuple[str, ...] = ()
    lab: str = ""

    def declaration(self, old: Record | None) -> dict[str, Any] | None:
        """The declaration that is meant: the task's own, that over the stored one, or the stored one."""
        if self.raw is None:
            return old.raw if old else None
        if self.update != "merge" or not old:
            return self.raw
        from .._spec.merge import merge

        return merge(old.raw, self.raw)


class Observed(NamedTuple):
    """What is really there.

    :param status: ``absent`` (not known), ``stopped``, ``suspended``, ``unresponsive`` (alive, and its monitor did
        not answer) or QEMU's own word (``running``, ``paused``, ``io-error``, …).
    :param spec: the normal form that is really in force; facts: what QEMU said (see ``_spec/reality.py``).
    :param strange: what is not ours about the running QEMU's command line.
    :param missing: our disks whose file is gone though it was made, and such UEFI variables, by path.
    :param bases: what each disk that is yet to be made can be made of: images that are here.
    :param why: for ``unresponsive`` and ``io-error``: what was seen.
    """

    status: str
    pid: int | None = None
    missing: tuple[str, ...] = ()
    qemu_version: str = ""
    why: str = ""
    spec: dict[str, Any] | None = None
    facts: Any = None
    strange: str = ""
    bases: dict[str, dict[str, Any]] = {}

    @property
    def alive(self) -> bool:
        return self.pid is not None


def is_settled(wish: Wish, old: Record | None, new: Record | None, seen: Observed) -> bool:
    """Whether a machine that runs is plainly as it should be: the planner, which would find no step, is not needed."""
    if old is None or old != new or old.suspended or old.doomed or old.reverting or old.frozen:
        return False
    return (wish.state, seen.status) in _REACHED and old.applied == old.declared and seen.spec == old.applied and not seen.strange
