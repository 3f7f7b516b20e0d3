# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab on several hypervisors, which are homes of one user here; and what is shown while a lab's task works."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._host.liveness import age_of
from ansible_collections.maqet.qemu.tests.harness.lab import did, kinds, lab

TINY = {"memory": "64MiB", "restart_policy": "no"}


@pytest.fixture
def name(home):
    return home.name("lab")


@pytest.fixture
def hypervisors(home):
    """An inventory: two that are reached with a Python that has a home of its own, one that cannot be reached."""
    hosts = {"gone": {"ansible_host": "127.0.0.1", "ansible_port": 1}}
    for host in ("hv1", "hv2"):
        python = home.root / f"python-{host}"
        folders = " ".join(f"XDG_{word.upper()}_HOME={home.root}/{host}/{word}" for word in ("state", "data", "cache"))
        python.write_text(
            f'#!/bin/sh\nmkdir -p {home.root}/{host}/state {home.root}/{host}/data {home.root}/{host}/cache\n{folders} exec {sys.executable} "$@"\n'
        )
        python.chmod(0o755)
        hosts[host] = {"ansible_connection": "local", "ansible_python_interpreter": str(python)}
    file = home.root / "hosts.json"
    file.write_text(json.dumps({"all": {"hosts": hosts}}))
    return {"ANSIBLE_INVENTORY": str(file), "ANSIBLE_SSH_ARGS": "-o BatchMode=yes"}


def machines(home, host):
    return sorted(path.name for path in home.root.glob(f"{host}/data/maqet/vms/*"))


def test_machines_of_several_hosts(home, name, hypervisors):
    """What is on hv1 is waited for on hv2, and that on hv1 again; whatever becomes of one host is its machines' alone."""
    vms = {
        "db": {"ready": [{"status": "running"}]},
        "web": {"host": "hv2", "count": 2, "depends_on": "db"},
        "front": {"depends_on": "web"},
        "home": {"host": "localhost", "depends_on": "web-1"},
    }
    definition = {"lab": name, "defaults": {**TINY, "host": "hv1"}, "vms": vms}
    plan, done, again = home.play(lab(definition, check=True), lab(definition), lab(definition), **hypervisors)
    assert plan["summary"] == "5 to create" and plan["changed"] and did(plan) == did(done), plan
    assert done["summary"] == "5 created" and again["summary"] == "5 unchanged" and not again["changed"] and again["diff"] == []
    assert list(kinds(done)) == [f"{name}-{key}" for key in ("db", "web-1", "web-2", "front", "home")]
    assert [vm["host"] for vm in done["vms"].values()] == ["hv1", "hv2", "hv2", "hv1", None]
    assert machines(home, "hv1") == [f"{name}-db", f"{name}-front"] and machines(home, "hv2") == [f"{name}-web-1", f"{name}-web-2"]
    ages = [age_of(vm["vm"]["pid"]) for vm in done["vms"].values()]
    assert ages[0] > max(ages[1:3]) and min(ages[1:3]) > ages[3]
    texts = [part["prepared"] for part in done["diff"] if str(part.get("prepared", "")).startswith(name)]
    assert texts == [f"{name}: 5 created\n"]
    vms.update(far={"host": "gone"}, farther={"host": "hv2", "depends_on": "far"}, web={**vms["web"], "count": 1})
    wrong = {**definition, "vms": {"db": {"host": "hv9"}}}
    partly, pruned, unknown, gone = home.play(
        lab(definition),
        lab(definition, prune=True, limit=[], force=True),
        lab(wrong),
        lab({**definition, "vms": {"db": {}, "web": {"host": "hv2", "count": 0}}}, state="absent", force=True),
        **hypervisors,
    )
    for result in (partly, pruned):
        assert result["failed"] and f"{name}-far: gone cannot be reached" in result["msg"]
        assert f"{name}-farther: skipped, since it depends on {name}-far" in result["msg"]
    assert kinds(partly)[f"{name}-db"] == "unchanged" and f"{name}-web-2" not in kinds(partly)
    assert kinds(pruned)[f"{name}-web-2"] == "removed"
    assert unknown["failed"] and "vms.db.host: 'hv9' is no host of the inventory" in unknown["msg"]
    assert not gone.get("failed") and machines(home, "hv1") == machines(home, "hv2") == []


def test_hosts_decide_addresses_together(home, name, hypervisors):
    """hv2 comes later, and of itself would give ci the address that web-2 has had on hv1."""
    card = {"nics": [{"name": "lan", "network": "lan"}]}
    early = {"lab": name, "networks": {"lan": {"driver": "mcast", "subnet": "10.40.0.0/28"}}, "vms": {"web": {"host": "hv1", "count": 4, **card}}}
    late = {**early, "vms": {**early["vms"], "ci": {"host": "hv2", "count": 8, **card}}}
    first, plan, second, again, foreseen = home.play(
        lab(early, state="present"),
        lab(late, state="present", check=True),
        lab(json.dumps(late), state="present"),  # as a variable of the command line is
        lab(late, state="present"),
        lab(late, state="present", check=True),
        **hypervisors,
    )
    assert not first["failed"] and not second["failed"], second
    for quiet in (again, foreseen):
        assert not quiet["failed"] and not quiet["changed"] and quiet["diff"] == [] and quiet["summary"] == "12 unchanged", quiet
    addresses = [vm["addresses"] for vm in second["vms"].values()]
    assert [vm["addresses"] for vm in plan["vms"].values()] == addresses and len({address for (address,) in addresses}) == 12
    assert all(second["vms"][machine]["addresses"] == vm["addresses"] for machine, vm in first["vms"].items())
    assert {vm["host"] for vm in second["vms"].values()} == {"hv1", "hv2"}


def test_a_task_that_is_wrong_fails_once(home, name, hypervisors):
    definition = {"lab": name, "defaults": {"memory": "much", "host": "hv1"}, "vms": {"a": {"count": 3}, "b": {"host": "hv2"}}}
    wrong, misspelt = home.play(lab(definition), lab({**definition, "defaults": {"host": "hv1"}}, limti=["a"]), **hypervisors)
    assert wrong["failed"] and wrong["msg"].count("memory") == 1 and "vms" not in wrong
    assert "limti" in misspelt["msg"] and misspelt["msg"].count("limti") == 1
    partly = {"lab": name, "vms": {"a": {}, "b": {"host": "hv2"}}}
    twice = home.end(home.begin_book([{"hosts": "hv1,hv2", "gather_facts": False, "tasks": [lab(partly)]}], **hypervisors))
    assert all(result["failed"] and "run_once" in result["msg"] for result in twice)


def left(began):
    """Files of progress that were made since then."""
    return [path for path in Path("/tmp").glob("maqet-*") if re.fullmatch("maqet-[0-9a-f]{32}", path.name) and path.stat().st_mtime > began]


def watched(home, *tasks, **variables):
    """What a terminal shows: when, and what; the end of it is the last."""
    ours, theirs = pty.openpty()
    process = home.begin(*tasks, stdout=theirs, ANSIBLE_STDOUT_CALLBACK="default", ANSIBLE_FORCE_COLOR="false", ANSIBLE_NOCOLOR="true", **variables)
    os.close(theirs)
    seen, text = [], b""
    try:
        while more := os.read(ours, 4096):
            text += more
            *lines, text = text.split(b"\n")
            seen += [(time.monotonic(), line.decode().rstrip()) for line in lines]
    except OSError:
        pass  # nobody has the other end any more
    os.close(ours)
    process.communicate(timeout=60)
    return [*seen, (time.monotonic(), "")]


def test_what_is_shown_meanwhile(home, name):
    began = time.time()
    slow = {"ready": [{"serial": "never"}], "ready_timeout": 4}
    definition = {
        "lab": name,
        "defaults": {**TINY, "nics": [{"name": "lan", "forwards": [{"guest": 22}]}]},
        "vms": {"fast": {}, "slow": slow, "after": {"depends_on": "slow"}},
    }
    seen = watched(home, lab(definition), lab({**definition, "vms": {"fast": {}}}, state="stopped", force=True))
    shown = {line: moment for moment, line in seen}
    waits = next(moment for line, moment in shown.items() if line.endswith(f"{name}-slow: waits until it is ready"))
    table = next(moment for line, moment in shown.items() if line.startswith("  NAME "))
    assert table - waits > 1, seen
    rows = [line.split() for line in shown if line.startswith(f"  {name}-")]
    assert rows[0][:2] == [f"{name}-fast", "running"] and rows[0][2].startswith("127.0.0.1:") and rows[0][3] == "created"
    assert rows[1][0] == f"{name}-slow" and "failed:" in rows[1] and rows[2][1:3] == ["skipped:", "depends"]
    assert not left(began)


def test_a_pipe_has_plain_lines(home, name):
    definition = {"lab": name, "defaults": TINY, "vms": {"db": {"ready": [{"serial": "never"}], "ready_timeout": 2}}}
    process = home.begin(lab(definition), ANSIBLE_STDOUT_CALLBACK="default", ANSIBLE_FORCE_COLOR="false")
    output, _errors = process.communicate(timeout=60)
    assert f" s  {name}-db: waits until it is ready\n" in output and "\n  NAME " in output, output
    assert all(letter.isprintable() or letter == "\n" for letter in output)


def test_nothing_is_shown_to_programs(home, name):
    began = time.time()
    definition = {"lab": name, "defaults": TINY, "vms": {"db": {"ready": [{"serial": "never"}], "ready_timeout": 2}}}
    process = home.begin(lab(definition), lab(definition, state="absent", force=True))
    output, _errors = process.communicate(timeout=60)
    assert [line[0] for line in output.splitlines()] == ["{", "{"], output
    assert "told" not in output and not left(began)


def test_a_module_that_is_killed_leaves_no_file(home, name):
    began = time.time()
    definition = {"lab": name, "defaults": TINY, "vms": {"db": {"ready": [{"serial": "never"}], "ready_timeout": 60}}}
    process = home.begin(lab(definition), ANSIBLE_STDOUT_CALLBACK="default")
    try:
        for _try in range(300):
            if left(began) and home.qemus(f"{name}-db"):
                break
            time.sleep(0.1)
        assert left(began)
        killed = home.modules()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        output, _errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert killed and "ignoring" in output and not left(began)
