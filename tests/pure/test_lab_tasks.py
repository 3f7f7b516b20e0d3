# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which machines a lab's task is about, which of them go, and what is said of it in a line."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import RefusedError, SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._plan.lab import LabTask, check_owner, chosen, failure, summary
from ansible_collections.maqet.qemu.plugins.module_utils._plan.record import Record
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab import compile_lab

SHOP = compile_lab({"lab": "shop", "vms": {"db": {}, "web": {"count": 2}}})
# It once made these two too.
OWNED = ("shop-db", "shop-old", "shop-web-1", "shop-web-2", "shop-web-3")
DB, WEB, STRAYS = ["shop-db"], ["shop-web-1", "shop-web-2"], ["shop-old", "shop-web-3"]
KEEPING = [{"state": state} for state in ("started", "stopped", "present")]
REMOVING = [{"state": "absent"}, {"state": "absent", "prune": True}, *({**asked, "prune": True} for asked in KEEPING)]
LIMITS = [((), DB + WEB, STRAYS), (("db",), DB, []), (("web",), WEB, []), (("old",), [], ["shop-old"]), (("shop-web-3", "db"), DB, ["shop-web-3"])]


@pytest.mark.parametrize("asked", [*KEEPING, *REMOVING], ids=str)
@pytest.mark.parametrize(("limit", "here", "gone"), LIMITS, ids=str)
def test_nothing_goes_unasked(asked, limit, here, gone):
    """Only prune and state: absent remove what the file has no more."""
    task = LabTask(limit=limit, **asked)
    assert task.removes == (asked in REMOVING)
    if limit and gone and not task.removes:
        with pytest.raises(SpecError) as caught:
            chosen(SHOP, task.limit, OWNED, removes=task.removes)
        assert str(caught.value) == f"limit: {limit[0]!r} is no more in the file of lab 'shop'. prune: true removes it"
    else:
        assert chosen(SHOP, task.limit, OWNED, removes=task.removes) == {*here, *(gone if task.removes else ())}


def test_a_name_that_is_none_of_the_labs():
    with pytest.raises(SpecError, match="limit: 'olt' is no machine of lab 'shop'"):
        chosen(SHOP, ["olt"], OWNED, removes=False)


def test_a_key_whose_machine_had_another_name_before():
    """The word is the key of one that stays, and was the name of one that may go."""
    lab = compile_lab({"lab": "shop", "vms": {"old": {"name": "legacy"}}})
    assert chosen(lab, ["old"], OWNED, removes=False) == {"legacy"}
    assert chosen(lab, ["old"], OWNED) == {"legacy", "shop-old"}


def part(result, *pending, error=None):
    return {"result": result, "pending_restart": list(pending), "skipped": None, "error": error}


SUMMARIES = [
    ({"a": part("created"), "b": part("unchanged")}, {}, "1 to create, 1 unchanged", "1 created, 1 unchanged"),
    ({"a": part("unchanged", "cpus")}, {"l": part("unchanged")}, "1 pending restart", "1 pending restart"),
    ({"a": part("unchanged")}, {"l": part("removed")}, "1 unchanged, 1 network to remove", "1 unchanged, 1 network removed"),
    ({}, {"l": part("created"), "m": part("created")}, "2 networks to create", "2 networks created"),
    ({"a": part("failed")}, {"l": part("failed")}, "1 that cannot be, 1 network that cannot be", "1 failed, 1 network failed"),
    ({}, {}, "0 unchanged", "0 unchanged"),
]


@pytest.mark.parametrize(("vms", "networks", "planned", "done"), SUMMARIES, ids=[done for *_parts, done in SUMMARIES])
def test_a_line_for_all(vms, networks, planned, done):
    assert (summary(vms, check=True, networks=networks), summary(vms, check=False, networks=networks)) == (planned, done)


def test_one_message_for_all_that_failed():
    """A network may be called as a machine is."""
    error = {"msg": "no room.", "hint": "Make some"}
    assert failure("shop", {"shop-a": part("unchanged")}, {}) == ""
    assert failure("shop", {"shop-a": part("failed", error=error)}, {"shop-a": part("failed", error={"msg": "in use"})}).splitlines() == [
        "shop: 1 failed, 0 skipped, of 1 machines, 1 network failed",
        "network shop-a: in use",
        "shop-a: no room. Make some",
    ]


OWNERS = [
    ({"lab": "shop"}, ""),
    ({"lab": "bank"}, "is one of lab 'bank'"),
    ({}, "was not made by a lab"),
    ({"labels": {"lab": "shop"}}, "was not made by a lab"),
    ({"labels": {"lab": "shop"}, "imported": {"uuid": "1", "whole": True}}, ""),
    ({"labels": {"lab": "bank"}, "imported": {"uuid": "1", "whole": True}}, "was not made by a lab"),
    ({"lab": "bank", "labels": {"lab": "shop"}, "imported": {"uuid": "1", "whole": True}}, "is one of lab 'bank'"),
]


@pytest.mark.parametrize(("known", "whose"), OWNERS, ids=str)
def test_whose_a_machine_is(known, whose):
    """A label says nothing, since anybody gives any; but an export has no other word for the lab that made it."""
    record = Record("shop-db", "process", "/d", "/r", declared={"labels": known.pop("labels", {})}, **known)
    if whose:
        with pytest.raises(RefusedError, match=whose):
            check_owner("shop", record)
    else:
        check_owner("shop", record)
        check_owner("shop", None)
