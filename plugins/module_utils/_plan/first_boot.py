# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a changed seed does to a machine: ``cloud_init_on_change``."""

from __future__ import annotations

from collections.abc import Iterable

from .._spec.cloud_init import is_of_the_seed
from .._spec.declaration import OPTIONS
from .._spec.disk_file import disk_files
from .diff import compare
from .record import Record
from .wish import Observed, Wish


def without_seed(pending: Iterable[str]) -> list[str]:
    """What of the pending paths ``on_restart_needed`` decides about: a seed has its own policy."""
    return [path for path in pending if not is_of_the_seed(path)]


def wants_restart(new: Record, pending: Iterable[str]) -> bool:
    """Whether the seed has changed, and its policy is to restart the machine for it."""
    return new.declared["cloud_init_on_change"] != "ignore" and any(map(is_of_the_seed, pending))


def disks_by_policy(wish: Wish, new: Record, seen: Observed) -> set[str]:
    """The disks that the task makes anew, since the seed has changed since they were made."""
    starts = ("started", "paused", "restarted", *(["present"] if seen.alive else []))
    resumes = seen.status == "suspended" and wish.state != "restarted"
    if new.declared.get("cloud_init_on_change") != "recreate" or wish.state not in starts or resumes:
        return set()
    before = seen.spec if seen.alive else new.applied
    if not before or not any(is_of_the_seed(change.path) for change in compare(OPTIONS, before, new.declared)):
        return set()
    return {item.disk for item in disk_files(new.declared, new.site()) if item.owned and item.image}
