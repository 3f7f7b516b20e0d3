# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is wished, stored and seen to the steps between."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.module_utils._plan.diff import compare, settle
from ansible_collections.maqet.qemu.plugins.module_utils._plan.first_boot import disks_by_policy
from ansible_collections.maqet.qemu.plugins.module_utils._plan.plan import make_plan
from ansible_collections.maqet.qemu.plugins.module_utils._plan.record import Record
from ansible_collections.maqet.qemu.plugins.module_utils._plan.wish import Observed, Wish, is_settled
from ansible_collections.maqet.qemu.plugins.module_utils._spec import slots
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import OPTIONS, declare, slot_names
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import walk
from ansible_collections.maqet.qemu.plugins.module_utils._spec.reality import in_force
from ansible_collections.maqet.qemu.tests.cases.data import PCI, facts_of, load, site_for

PLANS = [pytest.param(case, id=case["name"]) for case in load("plans.yml")]
CHANGES = [pytest.param(case, id=case["option"]) for case in load("changes.yml")]
IMAGE = {"code": "/code.fd", "code_format": "raw", "template": "/vars.fd", "template_format": "raw", "smm": False}
FIRMWARE = dict.fromkeys(("nvram.fd", "nvram-secure.fd"), IMAGE)
PID = 4242
WORDS = {"dir": "/d", "run": "/r", "auto": 20000, "firmware": lambda spec: IMAGE}
AT_REST = ("absent", "stopped", "suspended")


def record(raw, *others, **more) -> Record:
    """:param others: normal forms beside the declared one whose devices have a place too."""
    spec = declare(raw)
    identity: dict = {"macs": {}, "slots": {}}
    for one in (*others, spec):
        found = site_for(one, WORDS).identity
        identity = {**identity, **found, "macs": {**identity["macs"], **found["macs"]}, "slots": identity["slots"], "firmware": FIRMWARE}
        identity["slots"] = slots.allot(slot_names(one, PCI), identity["slots"]) if slots.has_ports(one["machine"]) else {}
    return Record("m", "process", "/d", "/r", raw=raw, declared=spec, identity=identity, **more)


def stored_record(case) -> Record | None:
    if case.get("stored") is None:
        return None
    applied = declare(case.get("applied", case["stored"]))
    started = declare(case["started"]) if "started" in case else None
    stored = record(case["stored"], applied, started=started, told=case.get("told"), **case.get("record", {}))
    if case["seen"] not in ("absent", "stopped") or "applied" in case:
        stored.applied = applied
    stored.identity.update(case.get("identity", {}))
    return stored


def wished_record(case, stored: Record | None) -> Record | None:
    if "task" not in case:
        new = copy.deepcopy(stored)
        if new:
            new.anew += case.get("wish", {}).get("recreate", [])
        return new
    raw = Wish("m", case["task"], **case.get("wish", {})).declaration(stored)
    if stored is None:
        return record(raw)
    new = copy.deepcopy(stored)
    new.raw, new.declared, new.refused = raw, declare(raw), {}
    again = record(raw, stored.applied or stored.declared)
    new.anew = case.get("wish", {}).get("recreate", [])
    new.doomed.update(case.get("doomed", {}))
    new.identity = {**again.identity, "pcie_ports": stored.identity.get("pcie_ports", 0)}
    return new


def observed(case, old: Record | None) -> Observed:
    """What is seen: QEMU as it was brought to be, but for what is gone and what differs."""
    more = {"missing": tuple(case.get("missing", ())), "bases": {disk: {"file": file} for disk, file in case.get("bases", {}).items()}}
    if case["seen"] in AT_REST or old is None:
        return Observed(case["seen"], **more)
    return running(old, case["seen"], case)._replace(**more)


def running(old: Record, status: str = "running", case=None) -> Observed:
    case = case or {}
    spec = old.applied_to(PID)
    facts = facts_of(spec, old.site()._replace(started=old.started), case)
    return Observed(status, PID, spec=in_force(spec, facts), facts=facts, strange=case.get("strange", ""))


@pytest.mark.parametrize("case", PLANS)
def test_plan(case):
    old = stored_record(case)
    new = wished_record(case, old)
    wish = Wish("m", case.get("task"), **case.get("wish", {}))
    seen = observed(case, old)
    if new and wish.state != "absent":
        new.anew = sorted({*new.anew, *disks_by_policy(wish, new, seen)})
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
    assert list(plan.reasons) == case.get("because", list(plan.reasons))
    if "commands" in case:
        assert commands(plan) == case["commands"]


def commands(plan):
    """What QEMU is told: the command where it has no arguments to speak of, the line of a human monitor's, or the whole."""
    told = [command for step in plan.steps for command in step.details().get("commands", ())]
    return [briefly(command) for command in told]


def briefly(command):
    if command["execute"] == "human-monitor-command":
        return command["arguments"]["command-line"]
    return {command["execute"]: command["arguments"]} if command.get("arguments") else command["execute"]


@pytest.mark.parametrize("case", CHANGES)
def test_applied_twice_changes_nothing(case):
    for raw in (case["before"], case["after"]):
        new = record(raw)
        assert make_plan(Wish("m", raw), None, new, Observed("absent")).steps
        new.applied = new.declared
        again = copy.deepcopy(new)
        seen = running(new)
        assert seen.spec == new.applied
        plan = make_plan(Wish("m", raw), new, again, seen)
        assert (plan.steps, plan.changes, plan.pending, plan.reasons) == ((), (), (), ())
        assert is_settled(Wish("m", raw), new, again, seen)


@pytest.mark.parametrize("case", CHANGES)
def test_one_change(case):
    before, after = declare(case["before"]), declare(case["after"])
    (change,) = compare(OPTIONS, before, after)
    assert change.path == case.get("path", case["option"])
    assert compare(OPTIONS, settle(before, change), after) == []
    old = record(case["before"], applied=before)
    new = record(case["after"], before, applied=before)
    new.identity["pcie_ports"] = old.identity.get("pcie_ports", 0)
    wish = Wish("m", case["after"])
    if "refused" in case:
        with pytest.raises(MaqetError) as caught:
            make_plan(wish, old, new, running(old))
        assert [word for word in case["refused"] if word not in str(caught.value)] == []
        return
    plan = make_plan(wish, old, new, running(old))
    assert [found.path for found in plan.changes] == [change.path]
    live = case.get("takes") == "live"
    assert list(plan.pending) == ([] if live else [change.path])
    assert [reason for reason in plan.reasons if not reason.startswith(f"{change.path}: ")] == []
    assert "because" not in case or case["because"] in plan.reasons[0]
    done = [step.action for step in plan.steps if step.action not in ("define", "make_disk")]
    assert len(set(done)) <= 1 and bool(done) == bool(case.get("commands") or case.get("unit")), "one kind of action"
    told = commands(plan)
    wanted = case.get("commands", [])
    assert len(told) == len(wanted), told
    for command, words in zip(told, wanted):
        assert command == words or (isinstance(words, str) and words == next(iter(command))), told


def test_every_option_is_changed():
    assert {path for path, option in walk(OPTIONS)} - {case["option"] for case in load("changes.yml")} == set()
