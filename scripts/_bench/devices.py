# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What many devices cost, counted in this process: their plan, and each of them in a task with nothing to do."""

from __future__ import annotations

import asyncio

from ansible_collections.maqet.qemu.plugins.module_utils._host.deadline import Deadline
from ansible_collections.maqet.qemu.plugins.module_utils._host.observe import observe
from ansible_collections.maqet.qemu.plugins.module_utils._host.prepare import prepare
from ansible_collections.maqet.qemu.plugins.module_utils._plan.plan import make_plan
from ansible_collections.maqet.qemu.tests.harness.engine import Wish, host_of, reach
from ansible_collections.maqet.qemu.tests.harness.home import Home
from common import RAW, Figure, timed

DEVICES, REPEATS = 50, 20


def many_devices():
    """As many as DEVICES, of each kind that comes and goes."""
    fifth = range(DEVICES // 5)
    disks = [{"name": f"{bus}{number}", "size": "1MiB", "bus": bus} for bus in ("virtio", "scsi") for number in fifth]
    nics = [{"name": f"nic{number}", "forwards": [{"guest": 22}]} for number in fifth]
    devices = [{"id": f"edu{number}", "driver": "edu"} for number in fifth]
    return {**RAW, "disks": disks, "nics": nics, "devices": devices, "objects": [{"id": f"io{number}", "qom-type": "iothread"} for number in fifth]}


def devices(root):
    home = Home(f"{root}/devices")
    small, large = RAW, many_devices()
    names = [home.name("small"), home.name("large")]
    try:
        for name, raw in zip(names, (small, large)):
            reach(home, name, raw=raw, state="paused", supervisor="process")
        plans = [planning(home, names[0], large), planning(home, names[1], small), planning(home, "new", large)]
        idle = [settled(home, name, raw) for name, raw in zip(names, (small, large))]
    finally:
        home.close()
    each = [(large - small) / DEVICES for small, large in zip(sorted(idle[0]), sorted(idle[1]))]
    return [
        Figure(f"plan, {DEVICES} devices come", plans[0], limit=10),
        Figure(f"plan, {DEVICES} devices go", plans[1], limit=10),
        Figure(f"plan, new with {DEVICES} devices", plans[2], limit=10),
        Figure("nothing to do, no device", idle[0]),
        Figure(f"nothing to do, each of {DEVICES} devices", each, limit=1),
    ]


def planning(home, name, after):
    """Of make_plan alone: the look before it and what is done after it are no planning."""
    host, wish = host_of(home), Wish(name, after, supervisor="process", state="paused")

    async def look():
        old = host.store.load([name]).get(name)
        new = await prepare(host, wish, after, old, keep=True)
        seen = await observe(host, old, Deadline(10))
        await host.close()
        return old, new, seen

    try:
        old, new, seen = asyncio.run(look())
        plan = make_plan(wish, old, new, seen)
        if len({change.path for change in plan.changes}) < (DEVICES if old else 1):
            raise SystemExit(f"{name}: the plan is too short: {[step.summary() for step in plan.steps]}")
        return [timed(lambda: make_plan(wish, old, new, seen)) * 1000 for _repeat in range(REPEATS)]
    finally:
        host.store.close()


def settled(home, name, raw):
    """Of a whole task with nothing to do, but for Ansible and the start of Python."""

    def task_again():
        if reach(home, name, raw=raw, state="paused", supervisor="process").changed:
            raise SystemExit(f"{name}: something was to do")

    task_again()
    return [timed(task_again) * 1000 for _repeat in range(REPEATS)]
