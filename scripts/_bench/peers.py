# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same work by community.libvirt, where libvirt is installed: its tasks and whole playbooks, in session mode."""

from __future__ import annotations

import os
import subprocess

from ansible_collections.maqet.qemu.tests.harness.home import Home, task
from common import ROUNDS, apply, lab_of, seconds, timed

COUNT = 20
WORK = {"defined and started": None, "with nothing to do": False}
LIMITS = {"defined and started": 10, "with nothing to do": 12}
URI = "qemu:///session"
# libvirt's own Python is the distribution's.
SYSTEM_PYTHON = "/usr/bin/python3"
_DOMAIN = """<domain type="qemu"><name>{name}</name><memory unit="MiB">64</memory><vcpu>1</vcpu>
<os><type arch="x86_64" machine="q35">hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><serial type="pty"/></devices></domain>"""
_FORGET = """
import sys, libvirt
for domain in libvirt.open(sys.argv[1]).listAllDomains():
    if domain.name().startswith(sys.argv[2]):
        if domain.isActive():
            domain.destroy()
        domain.undefine()
"""


def libvirt(root):
    if not os.environ.get("MAQET_BENCH_LIBVIRT"):
        print("Nothing of libvirt: it is not installed here (docs/benchmarks/README.md says what to install)")
        return []
    home = Home(f"{root}/libvirt")
    names = [f"t{home.mark}-{number}" for number in range(COUNT)]
    lab = lab_of(home, "twenty", COUNT)
    theirs, ours = _domains(names), [{**task("maqet_lab", definition=lab), "diff": False}]
    spent = {(who, what): [] for who in ("ours", "theirs") for what in WORK}
    try:
        for _round in range(min(ROUNDS, 3)):
            for who, tasks in (("ours", ours), ("theirs", theirs)):
                for what, changes in WORK.items():
                    spent[who, what].append(_play(home, tasks, changed=changes))
                apply(home, lab, state="absent", force=True)
                _forget(home)
    finally:
        _forget(home)
        home.close()
    return [_figure(part, what, spent, number) for number, part in enumerate(("tasks", "playbook")) for what in WORK]


def _figure(part, what, spent, number):
    ours, theirs = ([pair[number] for pair in spent[who, what]] for who in ("ours", "theirs"))
    return seconds(f"{part}, {COUNT} {what}", ours, "community.libvirt", theirs, LIMITS[what] if part == "tasks" else None, at_least=True)


def _play(home, tasks, *, changed):
    """Seconds of the tasks, and of the whole playbook."""
    results = []
    whole = timed(lambda: results.append(home.play(*tasks)))
    results = results[0] if isinstance(results[0], list) else results
    for result in results:
        if result["failed"] or (changed is not None and result["changed"] != changed):
            raise SystemExit(f"a task failed, or changed what it should not: {result}")
    return sum(result["seconds"] for result in results), whole


def _domains(names):
    common = {"uri": URI}
    interpreter = {"ansible_python_interpreter": SYSTEM_PYTHON}
    define = {**task("community.libvirt.virt", command="define", xml=_DOMAIN.replace("{name}", "{{ item }}"), **common), "loop": names, "vars": interpreter}
    start = {**task("community.libvirt.virt", state="running", name="{{ item }}", **common), "loop": names, "vars": interpreter}
    return [{**loop, "diff": False} for loop in (define, start)]


def _forget(home):
    subprocess.run([SYSTEM_PYTHON, "-c", _FORGET, URI, f"t{home.mark}"], env=home.environment, check=True)
