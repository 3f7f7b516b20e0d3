# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the product costs beside the bare thing, in one run, rounds interleaved, medians.

Started by scripts/bench. A figure means something only against its neighbour in the same table; what many devices cost is
counted in this process.
Starts are of machines that were declared before, without a disk: the firmware of those that are up runs on, on both sides.
Machines that are made have an overlay each.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.maqet.qemu.plugins.module_utils._host.deadline import Deadline
from ansible_collections.maqet.qemu.plugins.module_utils._host.host import Host
from ansible_collections.maqet.qemu.plugins.module_utils._host.observe import observe
from ansible_collections.maqet.qemu.plugins.module_utils._host.paths import Paths
from ansible_collections.maqet.qemu.plugins.module_utils._host.prepare import prepare
from ansible_collections.maqet.qemu.plugins.module_utils._plan.plan import make_plan
from ansible_collections.maqet.qemu.tests.harness.engine import Wish, reach, reach_all
from ansible_collections.maqet.qemu.tests.harness.home import Home, qmp, task, vm
from ansible_collections.maqet.qemu.tests.harness.look import command_line
from ansible_collections.maqet.qemu.tests.harness.wire import Wire

ROUNDS = int(os.environ.get("MAQET_BENCH_ROUNDS", "5"))
TASKS = 10
MAKES = 20
# What ended before each measurement has its time to be cleared away: it belongs to neither side.
PAUSE = 0.5
PARALLEL = min(32, 4 * (os.cpu_count() or 1))
RAW = {"memory": "64MiB"}
DEVICES, REPEATS = 50, 20


def start_ours(home, names, supervisor):
    """Seconds until every machine's QMP has answered, and the command lines they run with."""
    reach_all(home, [Wish(name, RAW, state="present", supervisor=supervisor) for name in names], parallel=PARALLEL)
    return bring_up(home, names, [Wish(name, state="started") for name in names])


def make_ours(home, names, supervisor, image):
    """The same of machines that are not declared yet, with an overlay each."""
    raw = {**RAW, "disks": [{"name": "root", "image": image, "size": "8GiB"}]}
    return bring_up(home, names, [Wish(name, raw, supervisor=supervisor) for name in names])


def bring_up(home, names, wishes):
    time.sleep(PAUSE)
    begun = time.monotonic()
    outcomes = reach_all(home, wishes, parallel=PARALLEL)
    seconds = time.monotonic() - begun
    for outcome in outcomes:
        if outcome.error:
            raise outcome.error
    argvs = [command_line(outcome.vm["pid"]) for outcome in outcomes]
    reach_all(home, [Wish(name, state="absent", force=True) for name in names], parallel=PARALLEL)
    return seconds, argvs


def start_bare(argvs, root, image=None):
    """The same command lines as plain processes, the same number at once; with an image each gets an overlay first."""

    def one(argv):
        folder = tempfile.mkdtemp(dir=root)
        if image:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", f"{folder}/root.qcow2", "8G"], check=True)
        with open(f"{folder}/events", "wb") as events:
            # A session each, as ours have: the kernel's autogroups share out the processors by session.
            argv = [rewritten(word, folder) for word in argv]
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=events, start_new_session=True)
        while not answers(f"{folder}/qmp.sock"):
            time.sleep(0.002)
        return process

    time.sleep(PAUSE)
    with ThreadPoolExecutor(PARALLEL) as pool:
        begun = time.monotonic()
        processes = list(pool.map(one, argvs))
        seconds = time.monotonic() - begun
    for process in processes:
        process.kill()
        process.wait()
    return seconds


def rewritten(word, folder):
    """An argument with its files and sockets in ``folder``."""
    return re.sub(r"/[^,=:]*/(\w+\.(?:sock|log|pid|qcow2))", rf"{folder}/\1", word)


def answers(path):
    try:
        with Wire(path):
            return True
    except OSError:
        return False


def starts(root):
    home = Home(f"{root}/starts")
    rows = []
    try:
        start_ours(home, [home.name("warm")], "auto")
        for count in (1, 30):
            names = [home.name(f"{count}-{number}") for number in range(count)]
            seconds = {"systemd": [], "process": [], "bare": []}
            for _round in range(ROUNDS):
                for supervisor in ("systemd", "process"):
                    took, argvs = start_ours(home, names, supervisor)
                    seconds[supervisor].append(took)
                seconds["bare"].append(start_bare(argvs, root))
            for supervisor in ("systemd", "process"):
                label = f"start {count} to QMP ({supervisor})"
                rows.append((label, seconds[supervisor], "bare QEMU", seconds["bare"], 1.25 if count == 30 else None))
    finally:
        home.close()
    return rows


def makes(root):
    home = Home(f"{root}/makes")
    image = f"{root}/image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "4G"], check=True)
    seconds = {"systemd": [], "process": [], "bare": []}
    names = [home.name(str(number)) for number in range(MAKES)]
    try:
        make_ours(home, [home.name("warm")], "auto", image)
        for _round in range(ROUNDS):
            for supervisor in ("systemd", "process"):
                took, argvs = make_ours(home, names, supervisor, image)
                seconds[supervisor].append(took)
            seconds["bare"].append(start_bare(argvs, root, image))
    finally:
        home.close()
    rows = ((supervisor, seconds[supervisor]) for supervisor in ("systemd", "process"))
    return [(f"make and start {MAKES} ({name})", took, "qemu-img create, bare QEMU", seconds["bare"], 1.3) for name, took in rows]


def tasks(root):
    home = Home(f"{root}/tasks")
    name = home.name()
    try:
        home.started(name)
        kinds = {"ping": task("ansible.builtin.ping"), "vm": vm(name, **RAW), "qmp": qmp(name, "query-status")}
        results = home.play(*list(kinds.values()) * (TASKS + 1))[len(kinds) :]
        if any(result["failed"] or result["changed"] for result in results):
            raise SystemExit(f"a task failed or changed something: {results}")
        seconds = {kind: [result["seconds"] for result in results[number :: len(kinds)]] for number, kind in enumerate(kinds)}
    finally:
        home.close()
    return [
        ("maqet_vm, nothing to do", seconds["vm"], "ping", seconds["ping"], 1.35),
        ("maqet_qmp query-status", seconds["qmp"], "ping", seconds["ping"], 1.5),
    ]


def many_devices():
    """As many as DEVICES, of each kind that comes and goes."""
    fifth = range(DEVICES // 5)
    disks = [{"name": f"{bus}{number}", "size": "1MiB", "bus": bus} for bus in ("virtio", "scsi") for number in fifth]
    nics = [{"name": f"nic{number}", "forwards": [{"guest": 22}]} for number in fifth]
    devices = [{"id": f"edu{number}", "driver": "edu"} for number in fifth]
    return {**RAW, "disks": disks, "nics": nics, "devices": devices, "objects": [{"id": f"io{number}", "qom-type": "iothread"} for number in fifth]}


def devices(root):
    """Milliseconds: the plan of a machine with many devices, and what each of them costs a task with nothing to do."""
    home = Home(f"{root}/devices")
    small, large = ({**raw, "restart_policy": "no"} for raw in (RAW, many_devices()))
    names = [home.name("small"), home.name("large")]
    try:
        for name, raw in zip(names, (small, large)):
            reach(home, name, raw=raw, state="paused", supervisor="process")
        plans = [planning(home, names[0], large), planning(home, names[1], small), planning(home, "new", large)]
        idle = [settled(home, name, raw) for name, raw in zip(names, (small, large))]
    finally:
        home.close()
    each = (statistics.median(idle[1]) - statistics.median(idle[0])) / DEVICES
    return [
        (f"plan, {DEVICES} devices come", statistics.median(plans[0]), 10),
        (f"plan, {DEVICES} devices go", statistics.median(plans[1]), 10),
        (f"plan, new with {DEVICES} devices", statistics.median(plans[2]), 10),
        ("nothing to do, no device", statistics.median(idle[0]), None),
        (f"nothing to do, each of {DEVICES} devices", each, 1),
    ]


def host_of(home):
    return Host(Paths(f"{home.state}/maqet", f"{home.data}/maqet", f"{home.cache}/maqet", str(home.runtime)))


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
        return [timed(lambda: make_plan(wish, old, new, seen)) for _repeat in range(REPEATS)]
    finally:
        host.store.close()


def settled(home, name, raw):
    """Of a whole task with nothing to do, but for Ansible and the start of Python."""

    def task_again():
        if reach(home, name, raw=raw, state="paused", supervisor="process").changed:
            raise SystemExit(f"{name}: something was to do")

    task_again()
    return [timed(task_again) for _repeat in range(REPEATS)]


def timed(work):
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def main():
    print(f"{PARALLEL} machines at once, medians of {ROUNDS} rounds; tasks: medians of {TASKS} in one play")
    print(f"{'':32} {'ours':>9} {'bare':>9}  {'ratio':>6}  {'at most':>7}")
    with tempfile.TemporaryDirectory(prefix="mb") as root:
        for label, ours, against, bare, limit in [*tasks(root), *starts(root), *makes(root)]:
            left, right = statistics.median(ours), statistics.median(bare)
            verdict = f"{limit:7.2f}" if limit else ""
            print(f"{label:32} {left * 1000:6.0f} ms {right * 1000:6.0f} ms  {left / right:5.2f}x  {verdict}  against {against}")
        for label, spent, limit in devices(root):
            print(f"{label:32} {spent:6.2f} ms {'':19}{f'{limit:4} ms' if limit else ''}")


if __name__ == "__main__":
    main()
