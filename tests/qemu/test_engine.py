# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every declaration through the whole engine: a plan first, then the machine, then nothing to do."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import declare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.network import switches
from ansible_collections.maqet.qemu.tests.cases.data import contains, fill, site_for, spec_cases
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.wire import ask
from ansible_collections.maqet.qemu.tests.qemu.beside import skip_without_needs
from ansible_collections.maqet.qemu.tests.qemu.engine import reach

POLICY = {"name": "m-one", "supervisor": "process", "state": "paused"}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in spec_cases()])
def test_applied_twice_changes_nothing(case, scratch_home, words, networks):
    given = {**fill(case["given"], words), **POLICY}
    spec = declare(fill(case["given"], words))
    skip_without_needs(spec, site_for(spec, words))
    there = networks({name: "hub" if name == "hub" else "switch" for name in switches(spec).values()}, "m-one")
    planned = reach(scratch_home, given, check=True)
    assert (planned.error, planned.changed) == (None, True)
    assert [path for path in look.listing(scratch_home.state, scratch_home.data) if not there or "m-one" in path] == []
    first = reach(scratch_home, given)
    assert (first.error, first.changed, first.vm["status"]) == (None, True, "paused")
    assert [action["action"] for action in first.actions] == [action["action"] for action in planned.actions]
    monitor = first.vm["sockets"]["monitor"]
    assert ask(monitor, "query-status")["running"] is False
    for option, question in case.get("told", {}).items():
        assert contains(ask(monitor, question["ask"]), question["answer"]), option
    for check in (False, True):
        again = reach(scratch_home, given, check=check)
        assert (again.error, again.changed, again.actions, again.pending_restart) == (None, False, [], [])
        assert again.vm == first.vm
    merged = reach(scratch_home, {**POLICY, "update": "merge", "labels": case["given"].get("labels", {})})
    assert (merged.error, merged.pending_restart, merged.before.keys() - {"state"}) == (None, [], set())
    if not case["given"].get("protect"):
        gone = reach(scratch_home, {**POLICY, "state": "absent", "force": True})
        assert (gone.error, gone.changed) == (None, True)
        assert [path for path in look.listing(scratch_home.state, scratch_home.data, scratch_home.runtime) if "m-one" in path] == []
        assert look.qemus(scratch_home.data) == []


def test_declared_order_is_kept(scratch_home):
    """The guest's first disk is its first disk after every start."""
    raw = {"disks": [{"name": "root", "size": "1M"}, {"name": "data", "size": "1M"}], "nics": [{"name": "wan"}, {"name": "lan"}]}
    pid = reach(scratch_home, {**POLICY, **raw}).vm["pid"]
    argv = look.command_line(pid)
    again = reach(scratch_home, {**POLICY, "state": "restarted", "force": True})
    assert again.error is None
    assert [word for word in look.command_line(again.vm["pid"]) if word != "-S"] == [word for word in argv if word != "-S"]


def test_a_disk_of_any_name_outlives_a_suspend(scratch_home):
    """The saved memory has a file name that no disk can have."""
    first = reach(scratch_home, {**POLICY, "disks": [{"name": "memory", "size": "1M"}]})
    assert first.error is None
    file = scratch_home.data / "maqet/vms/m-one/memory.qcow2"
    before = file.stat().st_ino
    for state in ("suspended", "paused"):
        assert reach(scratch_home, {**POLICY, "state": state}).error is None
        assert file.stat().st_ino == before
