# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts: labs against bare QEMU, as many at once as suit this host best.

The machines were declared before and have no disk. Bare ones run from their first moment on, ours when all of a task are there. So there are
two figures of ours, until all answer and until the task ends, and the second also stands against bare ones that are never told to run.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from typing import NamedTuple

from ansible_collections.maqet.qemu.plugins.module_utils._host.recorder import read_events
from ansible_collections.maqet.qemu.tests.harness.engine import Wish, reach_all
from ansible_collections.maqet.qemu.tests.harness.home import Home
from common import CORES, PARALLEL, PAUSE, RAW, ROUNDS, Figure, apply, argvs_of, lab_of, seconds, start_bare
from facts import available_mib

LABS = (1, 10, 50)
PAUSED, PAUSED_MIB = 200, 60
MAKES = 20
BEST_RATIO = 1.15
SUPERVISORS = ("systemd", "process")
# Guests that are let go earlier than a QEMU may be held (_host/gate.py) are so because all answer.
HELD_SECONDS = 3


def starts(root):
    home = Home(f"{root}/starts")
    try:
        apply(home, lab_of(home, "warm", 1))
        return [figure for count in LABS for figure in _labs(home, count, root)]
    finally:
        home.close()


def _labs(home, count, root):
    answered, ended, new = {name: [] for name in SUPERVISORS}, {name: [] for name in SUPERVISORS}, []
    bare, held, work = {width: [] for width in _widths(count)}, [], []
    for number in range(ROUNDS):
        for supervisor in SUPERVISORS:
            lab = lab_of(home, f"{count}-{number}", count)
            apply(home, lab, state="present", supervisor=supervisor)
            start = _timed_start(home, lab)
            answered[supervisor].append(start.answered)
            ended[supervisor].append(start.ended)
            if supervisor == "systemd":
                work.append(start.cpu / count)
        if count > 1:
            new.append(_timed_start(home, lab_of(home, f"{count}-new", count)).ended)
        for width, spent in bare.items():
            spent.append(start_bare(start.argvs, root, width))
        held.append(start_bare(start.argvs, root, PARALLEL, paused=True))
    limit = BEST_RATIO if count == max(LABS) else None
    return [
        *_against(f"lab of {count}, all answer QMP", answered, bare, limit),
        *_against(f"lab of {count}, task's end", {**ended, **({"from nothing": new} if new else {})}, bare, None),
        seconds(f"lab of {count}, task's end (systemd)", ended["systemd"], f"bare QEMU held by -S, {PARALLEL} at once", held),
        Figure(f"lab of {count}: our CPU per machine", [value * 1000 for value in work]),
    ]


def _widths(count):
    """How many bare ones are started at once: ours, as many as there are processors, and all."""
    return sorted({min(width, count) for width in (CORES, PARALLEL, count)})


class Start(NamedTuple):
    """Seconds until all machines answered, until the task ended, and of our CPU; the command lines that run."""

    answered: float
    ended: float
    cpu: float
    argvs: list[list[str]]


def _timed_start(home, lab):
    time.sleep(PAUSE)
    clock, begun, used = time.time(), time.monotonic(), time.process_time()
    done = apply(home, lab)
    ended, cpu = time.monotonic() - begun, time.process_time() - used
    first = min((_resumed(home, name) for name in done.members), default=float("inf")) - clock
    argvs = argvs_of([member.outcome.vm for member in done.members.values()])
    apply(home, lab, state="absent", force=True)
    return Start(first if first < HELD_SECONDS else ended, ended, cpu, argvs)


def _resumed(home, name):
    """When QEMU says that it let the guest go; never, of one that was not held."""
    stamps = [event["timestamp"] for event in read_events(str(home.directory(name)))[0] if event["event"] == "RESUME"]
    return stamps[0]["seconds"] + stamps[0]["microseconds"] / 1e6 if stamps else float("inf")


def _against(label, took, bare, limit):
    best = min(bare, key=lambda width: statistics.median(bare[width]))
    against = f"bare QEMU, {best} at once"
    if len(bare) > 1:
        against += f" (best of {', '.join(map(str, bare))})"
    return [seconds(f"{label} ({name})", spent, against, bare[best], limit) for name, spent in took.items()]


def paused(root):
    """As many as may wait for their first instruction: what QEMU and we cost without any guest."""
    free = available_mib()
    if free < PAUSED * PAUSED_MIB:
        print(f"No lab of {PAUSED} paused machines: it takes {PAUSED * PAUSED_MIB} MiB of memory, and {free} MiB are free")
        return []
    home = Home(f"{root}/paused")
    names = [home.name(str(number)) for number in range(PAUSED)]
    took, bare = {name: [] for name in SUPERVISORS}, {width: [] for width in (CORES, PARALLEL)}
    try:
        for _round in range(min(ROUNDS, 2)):
            for supervisor in SUPERVISORS:
                _checked(reach_all(home, [Wish(name, RAW, state="present", supervisor=supervisor) for name in names]))
                time.sleep(PAUSE)
                begun = time.monotonic()
                outcomes = _checked(reach_all(home, [Wish(name, state="paused") for name in names]))
                took[supervisor].append(time.monotonic() - begun)
                argvs = argvs_of([outcome.vm for outcome in outcomes])
                _checked(reach_all(home, [Wish(name, state="absent", force=True) for name in names]))
            for width, spent in bare.items():
                spent.append(start_bare(argvs, root, width, paused=True))
    finally:
        home.close()
    return _against(f"{PAUSED} machines, paused", took, bare, None)


def _checked(outcomes):
    for outcome in outcomes:
        if outcome.error:
            raise outcome.error
    return outcomes


def makes(root):
    """Machines that are not declared yet, with an overlay each."""
    home = Home(f"{root}/makes")
    image = f"{root}/image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "4G"], check=True)
    raw = {**RAW, "disks": [{"name": "root", "image": image, "size": "8GiB"}]}
    took, bare = {name: [] for name in SUPERVISORS}, []
    names = [home.name(str(number)) for number in range(MAKES)]
    try:
        for _round in range(ROUNDS):
            for supervisor in SUPERVISORS:
                time.sleep(PAUSE)
                begun = time.monotonic()
                outcomes = _checked(reach_all(home, [Wish(name, raw, supervisor=supervisor) for name in names]))
                took[supervisor].append(time.monotonic() - begun)
                argvs = argvs_of([outcome.vm for outcome in outcomes])
                _checked(reach_all(home, [Wish(name, state="absent", force=True) for name in names]))
            bare.append(start_bare(argvs, root, PARALLEL, image=image))
    finally:
        home.close()
    return [seconds(f"make and start {MAKES} ({name})", spent, "qemu-img create, bare QEMU", bare, 1.3) for name, spent in took.items()]
