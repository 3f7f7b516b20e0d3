# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing to do: labs of many machines, single tasks, and the memory of it."""

from __future__ import annotations

import json
import os
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

from ansible_collections.maqet.qemu.plugins.modules import maqet_lab
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.home import Home, qmp, task, vm
from common import CORES, RAW, ROUNDS, Figure, apply, lab_of, seconds, timed

LABS = (1, 10, 100, 200)
MEASURED = 100
# A multiboot kernel that halts for good: even an idle firmware takes 0.6 % of a processor under TCG, which 200 times is more than all of it.
KERNEL, _MAGIC, _HAS_ADDRESSES, _HALT = 0x100000, 0x1BADB002, 1 << 16, bytes.fromhex("faf4ebfd")
TASKS = 10
_LAUNCHER = """
import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if not ended.returncode else ended.stdout)
sys.exit(ended.returncode)
"""
FIRMWARE_SECONDS = 180


def labs(root):
    """Whole playbooks and the engine alone; the lab grows from one size to the next, and its guests do nothing."""
    home = Home(f"{root}/labs")
    kernel = _halting(f"{root}/kernel")
    figures, tasks, engine = [], {}, {}
    try:
        for count in LABS:
            lab = lab_of(home, "idle", count, boot={"kernel": kernel})
            apply(home, lab)
            _await_quiet()
            play = task("maqet_lab", definition=lab)
            plays, pings, tasks[count], engine[count] = [], [], [], []
            for _round in range(ROUNDS):
                plays.append(timed(lambda play=play, count=count: tasks[count].append(_settled(home.play(play)))))
                pings.append(timed(lambda: home.play(task("ansible.builtin.ping"))))
                engine[count].append(timed(lambda lab=lab: _unchanged(apply(home, lab))))
            figures.append(seconds(f"playbook, lab of {count}, nothing to do", plays, "ping playbook", pings, 1.5 if count == MEASURED else None))
            if count == MEASURED:
                figures += _memory(home, lab, root)
        apply(home, lab, state="absent", force=True)
    finally:
        home.close()
    return [*figures, *_slope(tasks, engine)]


def _halting(path):
    words = (_MAGIC, _HAS_ADDRESSES, -(_MAGIC + _HAS_ADDRESSES) & 0xFFFFFFFF, KERNEL, KERNEL, KERNEL + 1024, KERNEL + 1024, KERNEL + 32)
    Path(path).write_bytes((struct.pack("<8I", *words) + _HALT).ljust(1024, b"\0"))
    return path


def _settled(result):
    """Seconds of the task."""
    if result["failed"] or result["changed"]:
        raise SystemExit(f"the lab failed or changed something: {result.get('msg') or result.get('summary')}")
    return result["seconds"]


def _unchanged(done):
    if done.changed:
        raise SystemExit("something was to do")


def _slope(tasks, engine):
    figures = [seconds(f"engine, lab of {count}, nothing to do", spent) for count, spent in engine.items()]
    few, many = statistics.median(engine[MEASURED]), statistics.median(engine[max(LABS)])
    each = (many - few) / (max(LABS) - MEASURED)
    figures.append(seconds("engine, each machine with nothing to do", [each], limit=5))
    figures.append(seconds(f"engine, lab of {max(LABS)}", engine[max(LABS)], f"lab of {MEASURED}", engine[MEASURED]))
    return [*figures, seconds(f"task, lab of {max(LABS)}", tasks[max(LABS)], f"lab of {MEASURED}", tasks[MEASURED], 2.3)]


def _await_quiet():
    """Until the machines' firmware has come to its end."""
    end = time.monotonic() + FIRMWARE_SECONDS
    while time.monotonic() < end:
        before = _idle_ticks()
        time.sleep(1)
        if _idle_ticks() - before > 0.7 * CORES * os.sysconf("SC_CLK_TCK"):
            return


def _idle_ticks():
    return int(Path("/proc/stat").read_text(encoding="ascii").split()[4])


def _memory(home, lab, root):
    """The module's process at its peak, beside ping's; and what is left of us while the machines run."""
    file = Path(root, "arguments.json")
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {"definition": lab, "_ansible_tmpdir": root}}))
    ours = _peak([sys.executable, "-m", maqet_lab.__name__, str(file)], home.environment)
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_tmpdir": root}}))
    import ansible.modules.ping

    ping = _peak([sys.executable, "-m", ansible.modules.ping.__name__, str(file)], home.environment)
    beside = _beside(home)
    return [
        Figure(f"peak memory of the module, lab of {MEASURED}", [ours], "ping", [ping], unit="MiB"),
        Figure(f"our processes beside the {MEASURED} QEMUs", [len(beside)], limit=0, unit=""),
    ]


def _peak(argv, environment):
    """MiB of a process that ends well; started by a small one, since a child's peak begins with what its parent has."""
    ended = subprocess.run([sys.executable, "-c", _LAUNCHER, *argv], env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{argv}: {ended.stdout} {ended.stderr}")
    return int(ended.stdout) / 1024


def _beside(home):
    """Processes that name the machines' directories or units and are not QEMU."""
    pids = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid()]
    lines = {pid: look.command_line(pid) for pid in pids}
    return [line for line in lines.values() if line and home.mark in " ".join(line) and "qemu-system" not in line[0]]


def tasks(root):
    home = Home(f"{root}/tasks")
    name = home.name()
    try:
        home.started(name)
        kinds = {"ping": task("ansible.builtin.ping"), "vm": vm(name, **RAW), "qmp": qmp(name, "query-status")}
        results = home.play(*list(kinds.values()) * (TASKS + 1))[len(kinds) :]
        if any(result["failed"] or result["changed"] for result in results):
            raise SystemExit(f"a task failed or changed something: {results}")
        spent = {kind: [result["seconds"] for result in results[number :: len(kinds)]] for number, kind in enumerate(kinds)}
    finally:
        home.close()
    return [
        seconds("maqet_vm, nothing to do", spent["vm"], "ping", spent["ping"], 1.35),
        seconds("maqet_qmp query-status", spent["qmp"], "ping", spent["ping"], 1.5),
    ]
