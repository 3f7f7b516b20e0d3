# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every option on a machine that runs: declared, changed once, seen from outside, changed behind our back, repaired.

docs/options.md is the table of what is proved here.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import HostError, RefusedError
from ansible_collections.maqet.qemu.tests.cases.data import contains, fill, load
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.home import Home
from ansible_collections.maqet.qemu.tests.harness.wire import Wire
from ansible_collections.maqet.qemu.tests.qemu.engine import reach, surveyed

KEEPS = {"define", "make_disk", "make_nvram"}


class Machine:
    """A paused machine in a home of its own."""

    def __init__(self, home, case, name):
        self.home, self.name = home, name
        self.policy = {"name": name, "state": "paused", "supervisor": case.get("supervisor", "process"), "timeout": 30, "shutdown_timeout": 1}
        self.vm: dict = {}

    def reach(self, raw, *, check=False, **policy):
        outcome = reach(self.home, {"labels": {}, **raw, **self.policy, **policy}, check)
        if outcome.error:
            raise outcome.error
        self.vm = outcome.vm or self.vm
        return outcome

    def settled(self, raw, pending=()):
        for check in (True, False):
            again = self.reach(raw, check=check)
            assert (again.changed, again.actions, again.pending_restart) == (False, [], list(pending))

    def shows(self, question) -> bool:
        """Whether it is so, by nothing of ours."""
        if "argv" in question:
            return any(question["argv"] in word for word in look.command_line(self.vm["pid"]))
        if "property" in question:
            return look.unit(self.name)[question["property"]] == question["value"]
        with Wire(self.vm["sockets"]["monitor"]) as wire:
            answer = wire.ask(question["ask"], **question.get("arguments", {}))
        return contains(answer, question["answer"]) and ("count" not in question or len(answer) == question["count"])

    def drift(self):
        (found,) = surveyed(self.home, self.name)
        return {entry["path"]: entry["by"] for entry in found["drift"]}

    def meddle(self, deeds):
        """Change it as somebody else would."""
        unit = f"maqet-vm-{self.name}.service"
        for deed in deeds:
            if isinstance(deed, dict) and "set_property" in deed:
                look.systemctl("set-property", "--runtime", unit, deed["set_property"])
            elif isinstance(deed, dict) and "drop_in" in deed:
                folder = Path(self.home.runtime, "systemd/user", f"{unit}.d")
                folder.mkdir(parents=True)
                (folder / "zzz.conf").write_text(f"[Service]\n{deed['drop_in']}\n", encoding="ascii")
                look.systemctl("daemon-reload")
            else:
                self._say(deed)

    def _say(self, deed):
        with Wire(self.vm["sockets"]["monitor"]) as wire:
            if isinstance(deed, str):
                wire.ask("human-monitor-command", **{"command-line": deed})
            else:
                answer = wire.ask(deed["execute"], **deed.get("arguments", {}))
                assert not answer, answer


@pytest.fixture
def machine_of(scratch_home, tmp_path):
    """The machine of a case, where this host can have it."""
    homes = []

    def make(case):
        home = scratch_home
        if case.get("supervisor") == "systemd":
            if "XDG_RUNTIME_DIR" not in os.environ or not has_manager():
                pytest.skip("no systemd user manager answers here")
            home = Home(tmp_path)
            home.cache = scratch_home.cache
            homes.append(home)
        return Machine(home, case, home.name())

    yield make
    for home in homes:
        home.close()


def has_manager() -> bool:
    return look.systemctl("is-system-running", check=False).strip() not in ("", "offline")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["option"]) for case in load("options.yml")])
def test_option(case, machine_of, words, networks):
    case = fill(case, words)
    machine = machine_of(case)
    networks(dict.fromkeys(case.get("networks", ()), "switch"), machine.name)
    try:
        machine.reach(case["before"])
    except HostError as exc:
        pytest.skip(str(exc))
    machine.settled(case["before"])
    if case.get("takes") == "impossible":
        with pytest.raises(RefusedError, match="another disk"):
            machine.reach(case["after"])
        machine.settled(case["before"])
        return
    change(case, machine)
    repair(case, machine)


def change(case, machine) -> None:
    """Change it once: it is in force live, or waits and is so after a restart."""
    path = case.get("path", case["option"])
    question = case.get("look")
    assert question is None or machine.shows(question) == bool(case.get("same"))
    try:
        planned = machine.reach(case["after"], check=True)
    except HostError as exc:
        pytest.skip(str(exc))
    done = machine.reach(case["after"])
    assert [action["summary"] for action in done.actions] == [action["summary"] for action in planned.actions]
    assert (set(done.before) | set(done.after)) - {"state"} == {path}
    assert len({action["action"] for action in done.actions} - KEEPS) <= 1
    waits = done.pending_restart
    assert waits == planned.pending_restart == ([path] if case.get("takes") == "start" else [])
    machine.settled(case["after"], waits)
    if waits:
        assert question is None or machine.shows(question) == bool(case.get("same"))
        if case.get("rests"):
            assert machine.reach(case["after"], on_restart_needed="restart", force=True).changed is False
            machine.reach(case["after"], state="stopped", force=True)
        restarted = machine.reach(case["after"], on_restart_needed="restart", force=True)
        assert (restarted.pending_restart, restarted.vm["status"]) == ([], "paused")
        machine.settled(case["after"])
    assert question is None or machine.shows(question)


def repair(case, machine) -> None:
    """What was changed behind our back is named, foretold and put back."""
    assert machine.drift() == {}
    if "drift" not in case:
        assert case["no_drift"]
        return
    path, mends = case.get("drifted", case.get("path", case["option"])), case.get("mends", "live")
    machine.meddle(case["drift"])
    look.wait_until(lambda: machine.drift() == {path: "host"})
    # QEMU frees what is gone a moment after it has said so.
    look.wait_until(lambda: not machine.shows(case["look"]))
    policy = {"on_restart_needed": "restart", "force": True} if mends == "start" else {}
    foretold = machine.reach(case["after"], check=True, **policy)
    mended = machine.reach(case["after"], **policy)
    done, said = ([action["summary"] for action in outcome.actions] for outcome in (mended, foretold))
    assert done[: len(said)] == said and (done == said or "first" in case)
    if mends == "never":
        assert (mended.changed, mended.pending_restart) == (False, []) and case["why"] in " ".join(mended.warnings)
        return
    assert mended.changed
    assert machine.shows(case["look"])
    assert machine.drift() == {}
    machine.settled(case["after"])
