# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is wished, stored and seen to the steps between."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.module_utils._plan.diff import compare, settle
from ansible_collections.maqet.qemu.plugins.module_utils._plan.plan import make_plan
from ansible_collections.maqet.qemu.plugins.module_utils._plan.record import Record
from ansible_collections.maqet.qemu.plugins.module_utils._plan.wish import Observed, Wish, is_settled
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import OPTIONS, declare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import walk
from ansible_collections.maqet.qemu.tests.cases.data import load

PLANS = [pytest.param(case, id=case["name"]) for case in load("plans.yml")]
CHANGES = [pytest.param(case, id=case["option"]) for case in load("changes.yml")]
AT_REST = ("absent", "stopped", "suspended")


def record(raw, **more) -> Record:
    identity = {"uuid": "u", "machine": "q35", "macs": {}, "ports": {}, "formats": {}}
    return Record("m", "process", "/d", "/r", raw=raw, declared=declare(raw), identity=identity, **more)


def stored_record(case) -> Record | None:
    if case.get("stored") is None:
        return None
    stored = record(case["stored"], **case.get("record", {}))
    if case["seen"] not in ("absent", "stopped"):
        stored.applied = declare(case.get("applied", case["stored"]))
    return stored


def wished_record(case, stored: Record | None) -> Record | None:
    if "task" not in case:
        return copy.deepcopy(stored)
    raw = Wish("m", case["task"], **case.get("wish", {})).declaration(stored)
    new = copy.deepcopy(stored) if stored else record(raw)
    new.raw, new.declared = raw, declare(raw)
    return new


@pytest.mark.parametrize("case", PLANS)
def test_plan(case):
    old = stored_record(case)
    new = wished_record(case, old)
    wish = Wish("m", case.get("task"), **case.get("wish", {}))
    seen = Observed(case["seen"], None if case["seen"] in AT_REST else 4242, tuple(case.get("missing", ())))
    if "error" in case:
        with pytest.raises(MaqetError) as caught:
            make_plan(wish, old, new, seen)
        assert not is_settled(wish, old, new, seen)
        assert [word for word in case["error"] if word not in str(caught.value)] == []
        return
    plan = make_plan(wish, old, new, seen)
    assert not (is_settled(wish, old, new, seen) and (plan.steps or plan.pending)), "settled means that the planner finds nothing"
    assert [step.action for step in plan.steps] == case["steps"]
    assert list(plan.pending) == case.get("pending", [])
    summaries = "\n".join(step.summary() for step in plan.steps)
    assert [word for word in case.get("says", ()) if word not in summaries] == []


@pytest.mark.parametrize("case", CHANGES)
def test_applied_twice_changes_nothing(case):
    for raw in (case["before"], case["after"]):
        new = record(raw)
        assert make_plan(Wish("m", raw), None, new, Observed("absent")).steps
        new.applied = new.declared
        again = make_plan(Wish("m", raw), new, record(copy.deepcopy(raw), applied=new.applied), Observed("running", 1))
        assert (again.steps, again.changes, again.pending) == ((), (), ())


@pytest.mark.parametrize("case", CHANGES)
def test_one_change(case):
    before, after = declare(case["before"]), declare(case["after"])
    (change,) = compare(OPTIONS, before, after)
    assert change.path == case.get("path", case["option"])
    assert compare(OPTIONS, settle(before, change), after) == []
    old = record(case["before"], applied=before)
    wish = Wish("m", case["after"])
    if "refused" in case:
        with pytest.raises(MaqetError) as caught:
            make_plan(wish, old, record(case["after"], applied=before), Observed("running", 1))
        assert [word for word in case["refused"] if word not in str(caught.value)] == []
        return
    plan = make_plan(wish, old, record(case["after"], applied=before), Observed("running", 1))
    assert [found.path for found in plan.changes] == [change.path]
    assert list(plan.pending) == ([] if case.get("takes") == "live" else [change.path])
    told = [command["arguments"]["command-line"] for step in plan.steps for command in step.details().get("commands", ())]
    assert told == case.get("commands", [])


def test_every_option_is_changed():
    # There is one network, so there is none to change to.
    assert {path for path, option in walk(OPTIONS)} - {case["option"] for case in load("changes.yml")} == {"nics.network"}
