# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing to do: labs of many machines, single tasks, and the memory of it."""

from __future__ import annotations

import json
import os
import statistics
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
TASKS = 10
FIRMWARE_SECONDS = 180


def labs(root):
    """Whole playbooks and the engine alone; the lab grows from one size to the next."""
    home = Home(f"{root}/labs")
    figures, engine = [], {}
    try:
        for count in LABS:
            lab = lab_of(home, "idle", count)
            apply(home, lab)
            _await_quiet()
            play = task("maqet_lab", definition=lab)
            plays, pings, engine[count] = [], [], []
            for _round in range(ROUNDS):
                plays.append(timed(lambda play=play: _settled(home.play(play))))
                pings.append(timed(lambda: home.play(task("ansible.builtin.ping"))))
                engine[count].append(timed(lambda lab=lab: _unchanged(apply(home, lab))))
            figures.append(seconds(f"playbook, lab of {count}, nothing to do", plays, "ping playbook", pings, 1.5 if count == MEASURED else None))
            if count == MEASURED:
                figures += _memory(home, lab, root)
        apply(home, lab, state="absent", force=True)
    finally:
        home.close()
    return [*figures, *_slope(engine)]


def _settled(result):
    if result["failed"] or result["changed"]:
        raise SystemExit(f"the lab failed or changed something: {result.get('msg') or result.get('summary')}")


def _unchanged(done):
    if done.changed:
        raise SystemExit("something was to do")


def _slope(engine):
    figures = [seconds(f"engine, lab of {count}, nothing to do", spent) for count, spent in engine.items()]
    few, many = statistics.median(engine[MEASURED]), statistics.median(engine[max(LABS)])
    each = (many - few) / (max(LABS) - MEASURED)
    figures.append(seconds("engine, each machine with nothing to do", [each], limit=5))
    return [*figures, seconds(f"engine, lab of {max(LABS)}", engine[max(LABS)], f"lab of {MEASURED}", engine[MEASURED], 2.3)]


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
    """MiB of a process that ends well."""
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said, errors = process.stdout.read(), process.stderr.read()
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{argv}: {said!r} {errors!r}")
    return usage.ru_maxrss / 1024


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
