# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a snapshot task decides, without any machine."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.module_utils._plan.record import Record
from ansible_collections.maqet.qemu.plugins.module_utils._plan.snapshot import SnapshotTask, become, check_task, is_alike, plan_snapshot
from ansible_collections.maqet.qemu.plugins.module_utils._plan.wish import Observed
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import declare


def record(**more):
    spec = declare({"memory": "64MiB", "arch": "x86_64", "machine": "q35"})
    identity = {"machine": "pc-q35-7.2", "slots": {"net-a": 0}, "pcie_ports": 8, "macs": {}, "ports": {}, "formats": {}, "firmware": {}, "pci": []}
    return Record("vm", "process", "/d", "/r", {}, spec, spec, identity=identity, argv=["qemu"], accel="tcg", **more)


def entry(created, **more):
    return {"created": created, "ram": False, "status": "running", "quiesced": False, "complete": True, "disks": {}, "beside": [], **more}


def with_memory(of):
    like = {"applied": of.applied, "started": None, "argv": ["qemu"], "origin": [None, ["qemu"]], "plugged": [], "accel": "tcg", "identity": of.identity}
    return entry("1", ram=True, memory={"qemu": "7.2.1"}, **like)


@pytest.mark.parametrize("label", ["before-upgrade", "2026-03-01", "a", "1a", "x" * 63])
def test_labels(label):
    check_task(SnapshotTask(label))


@pytest.mark.parametrize("label", ["", "1", "20260301", "a b", "../a", ".a", "-a", "x" * 64, "a\n", "ä"])
def test_what_is_no_label(label):
    with pytest.raises(MaqetError, match="is no label"):
        check_task(SnapshotTask(label))


@pytest.mark.parametrize(("keep", "expired"), [(None, ()), (9, ()), (3, ()), (2, ("d-1",)), (1, ("d-1", "d-2"))])
def test_the_oldest_whole_ones_of_the_prefix_go(keep, expired):
    machine = record(snapshots={"d-2": entry("2"), "d-1": entry("1"), "e-0": entry("0"), "d-0": entry("0", complete=False)})
    assert plan_snapshot(SnapshotTask("d-3", keep=keep, prefix="d-"), machine, Observed("stopped")).expired == expired


@pytest.mark.parametrize(
    ("machine", "status", "state", "words"),
    [
        ({}, "unresponsive", "present", "unresponsive"),
        ({"suspended": True}, "suspended", "present", "is suspended"),
        ({"reverting": "x"}, "stopped", "present", "half put back"),
        ({"anew": ["root"]}, "stopped", "restored", "wait to be made anew"),
        ({}, "stopped", "restored", "there is no 'p'"),
        ({"snapshots": {"p": entry("1", complete=False)}}, "stopped", "restored", "was never completed"),
        ({"snapshots": {"p": entry("1", ram=True)}}, "stopped", "present", "is there with memory"),
        ({"snapshots": {"p": entry("1")}, "suspended": True, "memory": {"snapshot": "p"}}, "suspended", "absent", "suspended in that very"),
    ],
)
def test_refusals(machine, status, state, words):
    with pytest.raises(MaqetError, match=words):
        plan_snapshot(SnapshotTask("p", state), record(**machine), Observed(status))


def test_a_qemu_just_as_it_was():
    machine = record()
    known, seen = with_memory(machine), Observed("running", 7, qemu_version="7.2.1", spec=machine.applied)
    assert is_alike(machine, seen, known)
    for other in (
        seen._replace(qemu_version="7.2.2"),
        seen._replace(spec={**machine.applied, "cpus": 2}),
        seen._replace(strange="another command line"),
        Observed("stopped"),
    ):
        assert not is_alike(machine, other, known)
    machine.argv = ["qemu", "-more"]
    assert not is_alike(machine, seen, known)


def test_it_becomes_what_it_was_and_keeps_what_has_come_since():
    machine = record()
    machine.snapshots["p"] = with_memory(machine)
    machine.identity = {**machine.identity, "macs": {"b": "52:54:00:00:00:01"}, "slots": {"net-b": 0}}
    machine.argv, machine.applied = ["other"], {}
    become(machine, "p")
    assert machine.suspended and machine.memory == {"qemu": "7.2.1", "snapshot": "p"} and machine.argv == ["qemu"] and machine.applied["memory"] == 64 << 20
    assert machine.identity["slots"] == {"net-a": 0} and machine.identity["macs"] == {"b": "52:54:00:00:00:01"}
