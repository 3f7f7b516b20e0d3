# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine in a scratch home, asked as a task would ask it."""

from __future__ import annotations

from typing import Any

from ansible_collections.maqet.qemu.plugins.module_utils._engine import Engine
from ansible_collections.maqet.qemu.plugins.module_utils._host.glance import Choice
from ansible_collections.maqet.qemu.plugins.module_utils._host.host import Host
from ansible_collections.maqet.qemu.plugins.module_utils._host.paths import Paths
from ansible_collections.maqet.qemu.plugins.module_utils._outcome import Outcome
from ansible_collections.maqet.qemu.plugins.module_utils._plan.wish import Wish
from ansible_collections.maqet.qemu.plugins.module_utils._survey import Question, survey

POLICY = set(Wish._fields) - {"name", "raw"}


def reach(home: Any, given: dict[str, Any], check: bool = False) -> Outcome:
    """What becomes of a task's arguments."""
    policy = {key: value for key, value in given.items() if key in POLICY}
    raw = {key: value for key, value in given.items() if key not in POLICY | {"name"}} or None
    host = _host(home)
    try:
        return Engine(host).run([Wish(given["name"], raw, **policy)], check=check)[0]
    finally:
        host.store.close()


def surveyed(home: Any, *names: str) -> list[dict[str, Any]]:
    """What is known of the machines."""
    host = _host(home)
    try:
        return survey(Question(Choice(list(names))), engine=Engine(host))[0]
    finally:
        host.store.close()


def _host(home: Any) -> Host:
    return Host(Paths(f"{home.state}/maqet", f"{home.data}/maqet", f"{home.cache}/maqet", str(home.runtime)))
