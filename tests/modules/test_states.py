# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every state: in check mode, for real, again, and again in check mode; then looked at without our code."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.tests.harness import look, wire
from ansible_collections.maqet.qemu.tests.harness.home import task, vm

SMALL = {"memory": "64MiB"}
QUICK = {"shutdown_timeout": 1}
# name: tasks before, the task, the status of QEMU afterwards (None: no QEMU)
STATES = {
    "present": ([], {**SMALL, "state": "present"}, None),
    "started": ([], SMALL, "running"),
    "started from rest": ([{**SMALL, "state": "present"}], {}, "running"),
    "started from paused": ([{**SMALL, "state": "paused"}], {}, "running"),
    "stopped": ([SMALL], {"state": "stopped", **QUICK}, None),
    "stopped by force": ([SMALL], {"state": "stopped", "force": True}, None),
    "stopped, new": ([], {**SMALL, "state": "stopped"}, None),
    "paused": ([SMALL], {"state": "paused"}, "paused"),
    "paused from rest": ([{**SMALL, "state": "present"}], {"state": "paused"}, "prelaunch"),
    "suspended": ([SMALL], {"state": "suspended"}, None),
    "resumed": ([SMALL, {"state": "suspended"}], {}, "running"),
    "resumed, paused": ([SMALL, {"state": "suspended"}], {"state": "paused"}, "prelaunch"),
    "absent": ([SMALL], {"state": "absent", "force": True}, None),
    "absent while suspended": ([SMALL, {"state": "suspended"}], {"state": "absent", "force": True}, None),
}


# the states whose way differs without systemd
BY_PROCESS = ("started", "stopped by force", "paused from rest", "resumed", "absent")
CASES = [("systemd", case) for case in STATES] + [("process", case) for case in BY_PROCESS]


def listing(home, name):
    """A task that shows every file of the machine but its lock, and its processes."""
    folders = f"{home.state} {home.data} {home.sockets(name)}"
    files = f"find {folders} -path '*/locks' -prune -o -not -type d -printf '%p %s %T@ ' 2>/dev/null"
    processes = f"pgrep -f 'qemu-system[^ ]* -name guest={name}'"
    return task("ansible.builtin.debug", msg=f'{{{{ lookup("ansible.builtin.pipe", "{files}; {processes} || true") }}}}')


@pytest.mark.parametrize(("supervisor", "case"), CASES)
def test_state(home, supervisor, case):
    before, wish, status = STATES[case]
    name = home.name()
    tasks = [vm(name, supervisor=supervisor, **earlier) for earlier in before]
    wish = {**wish, "supervisor": supervisor}
    results = home.play(
        *tasks, listing(home, name), vm(name, check=True, **wish), listing(home, name), vm(name, **wish), vm(name, **wish), vm(name, check=True, **wish)
    )
    assert not [result["msg"] for result in results if result["failed"]]
    first, planned, second, done, again, planned_again = results[len(before) :]
    assert first["msg"] == second["msg"], "check mode changed something"
    assert planned["changed"] and done["changed"] and not again["changed"] and not planned_again["changed"]
    assert [item["action"] for item in planned["actions"]] == [item["action"] for item in done["actions"]]
    assert planned["diff"] and done["diff"] and not again["diff"]
    check_reality(home, name, supervisor, status, done["vm"])
    if "absent" in case:
        assert not home.traces(name) and done["vm"] == {}


def check_reality(home, name, supervisor, status, facts):
    if status is None:
        assert not home.qemus(name)
        assert look.unit(name)["ActiveState"] != "active"
        return
    assert facts["pid"] == home.pid(name)
    # QEMU says prelaunch of virtual CPUs that never ran.
    assert facts["status"] == ("paused" if status == "prelaunch" else status)
    assert facts["supervisor"] == supervisor
    assert wire.ask(home.sockets(name) / "qmp.sock", "query-status")["status"] == status
    assert wire.ask(home.sockets(name) / "qmp.sock", "query-name")["name"] == name
    if supervisor == "systemd":
        unit = look.unit(name)
        assert (unit["ActiveState"], unit["Slice"], int(unit["MainPID"])) == ("active", "maqet.slice", facts["pid"])
        assert facts["unit"] == unit["Id"]
    else:
        assert facts["unit"] is None and not look.units(name)


def test_restarted_is_another_qemu_each_time(home, supervisor):
    name = home.name()
    restart = vm(name, state="restarted", force=True)
    first, planned, second, third = home.play(vm(name, supervisor=supervisor, **SMALL), vm(name, check=True, state="restarted", force=True), restart, restart)
    assert planned["changed"] and planned["vm"]["pid"] == first["vm"]["pid"]
    assert len({result["vm"]["pid"] for result in (first, second, third)}) == 3
    assert first["vm"]["uuid"] == third["vm"]["uuid"]
    assert home.pid(name) == third["vm"]["pid"]


def test_events_of_two_starts_stand_in_one_file(home, supervisor):
    name = home.name()
    home.play(vm(name, supervisor=supervisor, **SMALL), vm(name, state="paused"), vm(name, state="restarted", force=True))
    directory = home.directory(name)
    assert look.starts(directory) == 2
    assert [event for event in look.event_names(directory) if event in ("STOP", "SHUTDOWN")] == ["STOP", "SHUTDOWN"]


def test_any_process_any_time(home, supervisor):
    """Each task from a process of its own; the user's monitor stays the user's."""
    name = home.name()
    pid = home.started(name, supervisor=supervisor)["pid"]
    with wire.Wire(home.sockets(name) / "monitor.sock") as mine:
        assert home.play(task("maqet_qmp", name=name, command="query-status"))["result"]["status"] == "running"
        assert home.play(vm(name, state="paused"))["vm"]["pid"] == pid
        assert mine.ask("query-status")["status"] == "paused"
        assert home.play(vm(name))["vm"]["pid"] == pid
        assert mine.ask("query-status")["status"] == "running"
    assert home.play(vm(name, state="stopped", **QUICK))["vm"]["pid"] is None
    assert home.play(vm(name, state="absent"))["changed"]
    assert not home.traces(name)


def test_absent_takes_all_but_what_came_from_outside(home, supervisor):
    name = home.name()
    outside, image = home.root / "outside.raw", home.root / "image.raw"
    for file in (outside, image):
        file.write_bytes(bytes(1 << 20))
    disks = [{"name": "root", "size": "8MiB"}, {"name": "over", "image": str(image)}, {"name": "out", "path": str(outside), "format": "raw"}]
    home.started(name, supervisor=supervisor, disks=disks, display={"type": "vnc"}, nics=[{"name": "lan", "forwards": [{"guest": 22}]}])
    assert sorted(file.name for file in home.sockets(name).iterdir()) == ["agent.sock", "monitor.sock", "qmp.sock", "serial.sock", "vnc.sock"]
    assert home.traces(name)
    assert home.play(vm(name, state="absent", force=True))["changed"]
    assert not home.traces(name)
    assert outside.exists() and image.exists()


def test_protect(home):
    name = home.name()
    refused, still, allowed = home.play(
        vm(name, state="absent"),
        vm(name, state="absent"),
        vm(name, state="absent"),
    )[:3]
    assert not refused["changed"] and not still["changed"] and not allowed["changed"], "nothing was there"
    pid = home.started(name, protect=True)["pid"]
    refused, changed, gone = home.play(vm(name, state="absent", force=True), vm(name, update="merge", protect=False), vm(name, state="absent", force=True))
    assert refused["failed"] and "protected" in refused["msg"] and "protect: false" in refused["hint"]
    assert changed["changed"] and changed["vm"]["pid"] == pid and gone["changed"]
    assert not home.traces(name)


def test_the_supervisor_is_not_changed_under_a_running_machine(home):
    name = home.name()
    home.started(name, supervisor="process")
    pid = home.pid(name)
    refused, kept = home.play(vm(name, supervisor="systemd"), vm(name))
    assert refused["failed"] and "process" in refused["msg"]
    assert not kept["changed"] and home.pid(name) == pid
    _stopped, moved = home.play(vm(name, state="stopped", force=True), vm(name, supervisor="systemd"))
    assert moved["vm"]["supervisor"] == "systemd" and look.unit(name)["ActiveState"] == "active"
