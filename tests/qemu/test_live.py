# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine that is changed while it runs, where it does not go at once: its guest never answers."""

from __future__ import annotations

import time

import pytest
from ansible_collections.maqet.qemu.tests.harness.wire import ask
from ansible_collections.maqet.qemu.tests.qemu.engine import reach, surveyed

POLICY = {"name": "m-one", "supervisor": "process", "state": "paused", "memory": "64MiB"}
RESTART = {"on_restart_needed": "restart", "force": True}


@pytest.fixture
def machine(scratch_home):
    """Brings the machine to a declaration; what came of it must be no error, and the same again must do nothing."""

    def bring(policy=None, **raw):
        wish = {**POLICY, **(policy or {}), **raw}
        outcome = reach(scratch_home, wish)
        assert outcome.error is None, outcome.error
        again = reach(scratch_home, wish)
        assert (again.error, again.changed, again.pending_restart) == (None, False, outcome.pending_restart)
        return outcome

    bring.home = scratch_home
    return bring


def line(outcome, text):
    return ask(outcome.vm["sockets"]["monitor"], "human-monitor-command", **{"command-line": text})


def say(outcome, command, **arguments):
    assert ask(outcome.vm["sockets"]["monitor"], command, **arguments) == {}


def actions(outcome):
    return [action["action"] for action in outcome.actions]


def test_a_removal_that_is_not_answered_waits(machine):
    machine(nics=[{"name": "lan"}])
    asked = machine()
    assert (actions(asked), asked.pending_restart) == (["define", "unplug"], ["nics[lan]"])
    assert "paused" in asked.actions[-1]["outcome"] and any("nics[lan]" in words for words in asked.warnings)
    begun = time.monotonic()
    again = machine()
    assert time.monotonic() - begun < 0.5 and not again.changed, "nobody is asked a second time"
    assert "net-lan" in line(again, "info network"), "what is still in use stays"
    restarted = machine(RESTART)
    assert (restarted.changed, restarted.pending_restart) == (True, [])
    assert "net-lan" not in line(restarted, "info network")


def test_what_let_go_after_all_is_cleaned_up(machine):
    """The device goes when nobody waits for it any more: its backend and its port are free again."""
    machine(nics=[{"name": "lan"}])
    asked = machine()
    assert asked.pending_restart == ["nics[lan]"]
    say(asked, "system_reset")  # a reset does what the guest was asked for
    deadline = time.monotonic() + 10
    while "nic-lan" in line(asked, "info network"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    cleaned = machine()
    assert (actions(cleaned), cleaned.pending_restart) == (["unplug"], [])
    assert "net-lan" not in line(cleaned, "info network")
    other = machine(nics=[{"name": "wan"}])
    assert [command["arguments"].get("bus") for command in other.actions[-1]["commands"]] == [None, "port-0"]


def test_a_disk_whose_removal_waits_keeps_its_file(machine):
    disk = {"name": "data", "size": "1MiB", "on_remove": "delete"}
    machine(disks=[disk])
    file = machine.home.data / "maqet/vms/m-one/data.qcow2"
    waits = machine()
    assert (waits.pending_restart, file.exists()) == (["disks[data]"], True)
    say(waits, "system_reset")
    time.sleep(0.2)
    cleaned = machine()
    assert (cleaned.pending_restart, file.exists()) == ([], False)
    assert ask(cleaned.vm["sockets"]["monitor"], "query-named-block-nodes") == []


def test_when_no_port_is_free(machine):
    """Eight ports are there from the start; the ninth card waits, and a restart brings ports for it and more."""
    machine()
    cards = [{"name": f"n{number}"} for number in range(9)]
    full = machine(nics=cards)
    assert (actions(full), full.pending_restart) == (["define", *["plug"] * 8], ["nics[n8]"])
    assert "nics[n8]: no PCIe port is free" in full.warnings
    restarted = machine(RESTART, nics=cards)
    assert (restarted.changed, restarted.pending_restart) == (True, [])
    assert all(f"nic-n{number}" in line(restarted, "info network") for number in range(9))
    more = machine(nics=[*cards, {"name": "n9"}])
    assert (actions(more), more.pending_restart) == (["define", "plug"], [])


def test_what_was_declared_while_it_was_suspended(machine, words):
    """It comes back as it was saved; then what can be is done, and the rest is said."""
    machine(nics=[{"name": "lan"}])
    machine({"state": "suspended"}, nics=[{"name": "lan"}])
    nics = [{"name": "lan", "forwards": [{"guest": 22, "host": str(words["port"])}]}, {"name": "wan"}]
    back = machine(cpu_model="qemu64", memory="96MiB", nics=nics)
    assert set(back.pending_restart) == {"cpu_model", "memory"}
    assert any("max_memory" in words for words in back.warnings)
    assert f"127.0.0.1 {words['port']}" in line(back, "info usernet") and "nic-wan" in line(back, "info network")


def test_a_machine_changed_while_it_ran_outlives_a_suspend(machine):
    """Its saved memory fits only what it had become."""
    disk = {"name": "data", "size": "1MiB", "throttle": {"iops": 50}}
    machine(max_memory="128MiB", nics=[{"name": "lan"}])
    become = {"memory": "96MiB", "max_memory": "128MiB", "nics": [{"name": "lan"}, {"name": "wan", "link": "down"}], "disks": [disk]}
    machine(None, **become)
    machine({"state": "suspended"}, **become)
    back = machine(None, **become)
    assert back.pending_restart == []
    (block,) = ask(back.vm["sockets"]["monitor"], "query-block")
    assert (block["inserted"]["node-name"], block["inserted"]["iops"]) == ("disk-data", 50)
    assert ask(back.vm["sockets"]["monitor"], "qom-get", path="/machine/peripheral/more-memory", property="requested-size") == 32 << 20
    (found,) = surveyed(machine.home, "m-one")
    assert (found["drift"], found["pending_restart"]) == ([], [])


def test_a_stray_forward_is_drift(machine, words):
    """Somebody else's way into the guest is named and closed."""
    nics = [{"name": "lan", "forwards": [{"guest": 22, "host": str(words["port"])}]}]
    before = machine(nics=nics)
    line(before, f"hostfwd_add net-lan tcp:0.0.0.0:{words['port2']}-:80")
    (found,) = surveyed(machine.home, "m-one")
    assert [(entry["path"], entry["applied"], entry["by"]) for entry in found["drift"]] == [("nics[lan].forwards[tcp/80]", None, "host")]
    assert found["drift"][0]["observed"]["host"] == str(words["port2"]) and found["drift"][0]["observed"]["listen"] == "0.0.0.0"
    closed = machine(nics=nics)
    assert (actions(closed), str(words["port2"]) in line(closed, "info usernet")) == (["qmp"], False)
