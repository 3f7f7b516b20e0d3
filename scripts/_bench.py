# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the product costs beside the bare thing, in one run, rounds interleaved, medians.

Started by scripts/bench. A figure means something only against its neighbour in the same table.
Machines are declared before; their start is measured. They have no disk: the firmware of those that are up runs on, on both sides.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.maqet.qemu.tests.harness.engine import Wish, reach_all
from ansible_collections.maqet.qemu.tests.harness.home import Home, qmp, task, vm
from ansible_collections.maqet.qemu.tests.harness.look import command_line
from ansible_collections.maqet.qemu.tests.harness.wire import Wire

ROUNDS = int(os.environ.get("MAQET_BENCH_ROUNDS", "5"))
TASKS = 10
# What ended before each measurement has its time to be cleared away: it belongs to neither side.
PAUSE = 0.5
PARALLEL = min(32, 4 * (os.cpu_count() or 1))
RAW = {"memory": "64MiB"}


def start_ours(home, names, supervisor):
    """Seconds until every machine's QMP has answered, and the command lines they run with."""
    reach_all(home, [Wish(name, RAW, state="present", supervisor=supervisor) for name in names], parallel=PARALLEL)
    time.sleep(PAUSE)
    begun = time.monotonic()
    outcomes = reach_all(home, [Wish(name, state="started") for name in names], parallel=PARALLEL)
    seconds = time.monotonic() - begun
    for outcome in outcomes:
        if outcome.error:
            raise outcome.error
    argvs = [command_line(outcome.vm["pid"]) for outcome in outcomes]
    reach_all(home, [Wish(name, state="absent", force=True) for name in names], parallel=PARALLEL)
    return seconds, argvs


def start_bare(argvs, root):
    """The same command lines as plain processes, the same number at once."""

    def one(argv):
        folder = tempfile.mkdtemp(dir=root)
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
    return re.sub(r"/[^,=:]*/(\w+\.(?:sock|log|pid))", rf"{folder}/\1", word)


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


def tasks(root):
    home = Home(f"{root}/tasks")
    name = home.name()
    try:
        home.started(name)
        kinds = {"ping": task("ansible.builtin.ping"), "vm": vm(name, **RAW), "qmp": qmp(name, "query-status")}
        results = home.play(*list(kinds.values()) * (TASKS + 1))[len(kinds):]
        if any(result["failed"] or result["changed"] for result in results):
            raise SystemExit(f"a task failed or changed something: {results}")
        seconds = {kind: [result["seconds"] for result in results[number :: len(kinds)]] for number, kind in enumerate(kinds)}
    finally:
        home.close()
    return [
        ("maqet_vm, nothing to do", seconds["vm"], "ping", seconds["ping"], 1.35),
        ("maqet_qmp query-status", seconds["qmp"], "ping", seconds["ping"], 1.5),
    ]


def main():
    print(f"{PARALLEL} machines at once, medians of {ROUNDS} rounds; tasks: medians of {TASKS} in one play")
    print(f"{'':32} {'ours':>9} {'bare':>9}  {'ratio':>6}  {'at most':>7}")
    with tempfile.TemporaryDirectory(prefix="mb") as root:
        for label, ours, against, bare, limit in [*tasks(root), *starts(root)]:
            left, right = statistics.median(ours), statistics.median(bare)
            verdict = f"{limit:7.2f}" if limit else ""
            print(f"{label:32} {left * 1000:6.0f} ms {right * 1000:6.0f} ms  {left / right:5.2f}x  {verdict}  against {against}")


if __name__ == "__main__":
    main()
