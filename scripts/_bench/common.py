# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the parts of the bench share: figures, the engine, bare QEMU processes."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ansible_collections.maqet.qemu.plugins.module_utils._engine import Engine
from ansible_collections.maqet.qemu.plugins.module_utils._lab import LabTask, run_lab
from ansible_collections.maqet.qemu.tests.harness.engine import host_of
from ansible_collections.maqet.qemu.tests.harness.look import command_line
from ansible_collections.maqet.qemu.tests.harness.wire import Wire

ROUNDS = int(os.environ.get("MAQET_BENCH_ROUNDS", "5"))
CORES = os.cpu_count() or 1
# What the engine chooses itself.
PARALLEL = Engine().parallel
# What ended before each measurement has its time to be cleared away: it belongs to neither side.
PAUSE = 0.5
# A bench that is cut off must not leave what comes back.
RAW = {"memory": "64MiB", "restart_policy": "no"}


class Figure(NamedTuple):
    """A line of the table.

    :param ours, theirs: what was measured, in ``unit``: its median counts.
    :param against: what theirs is.
    :param limit: of ours/theirs, or of ours where there is no theirs; at_least: of theirs/ours.
    """

    label: str
    ours: list[float]
    against: str = ""
    theirs: list[float] | None = None
    limit: float | None = None
    unit: str = "ms"
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        if not self.theirs:
            return None
        quotient = statistics.median(self.ours) / statistics.median(self.theirs)
        return 1 / quotient if self.at_least else quotient

    @property
    def is_kept(self) -> bool:
        value = statistics.median(self.ours) if self.ratio is None else self.ratio
        return self.limit is None or (value >= self.limit if self.at_least else value <= self.limit)


def seconds(label, ours, against="", theirs=None, limit=None, *, at_least=False):
    """A figure of what was measured in seconds."""
    return Figure(label, [value * 1000 for value in ours], against, theirs and [value * 1000 for value in theirs], limit, at_least=at_least)


def lab_of(home, word, count, **raw):
    """A lab of ``count`` diskless machines."""
    return {"lab": f"t{home.mark}-{word}", "vms": {"vm": {**RAW, **raw, "count": count}}}


def apply(home, lab, **task):
    """What became of the lab, by the engine in this process."""
    host = host_of(home)
    try:
        done = run_lab(lab, LabTask(**task), engine=Engine(host))
    finally:
        host.store.close()
    if done.failed:
        raise SystemExit("\n".join(member.why for member in done.members.values() if member.why))
    return done


def timed(work):
    """Seconds."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def argvs_of(facts):
    return [command_line(vm["pid"]) for vm in facts]


def start_bare(argvs, root, parallel, *, paused=False, image=None):
    """Seconds until the same command lines, as plain processes, have answered; with an image each gets an overlay first.

    :param paused: with ``-S``, so that no guest runs; else without: each guest runs at once.
    """

    def one(argv):
        folder = tempfile.mkdtemp(dir=root)
        if image:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", f"{folder}/root.qcow2", "8G"], check=True)
        with open(f"{folder}/events", "wb") as events:
            # A session each, as ours have: the kernel's autogroups share out the processors by session.
            argv = [*(rewritten(word, folder) for word in argv if word != "-S"), *(["-S"] if paused else [])]
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=events, start_new_session=True)
        while not answers(f"{folder}/qmp.sock"):
            time.sleep(0.002)
        return process

    time.sleep(PAUSE)
    with ThreadPoolExecutor(parallel) as pool:
        begun = time.monotonic()
        processes = list(pool.map(one, argvs))
        took = time.monotonic() - begun
    for process in processes:
        process.kill()
        process.wait()
    return took


def rewritten(word, folder):
    """An argument with its files and sockets in ``folder``."""
    return re.sub(r"/[^,=:]*/(\w+\.(?:sock|log|pid|qcow2))", rf"{folder}/\1", word)


def answers(path):
    try:
        with Wire(path):
            return True
    except OSError:
        return False
