# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole lab in one task: what is planned is what is done, the second run changes nothing, and trouble is its machine's alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.children import Child
from ansible_collections.maqet.qemu.tests.harness.engine import Cut
from ansible_collections.maqet.qemu.tests.harness.home import vm
from ansible_collections.maqet.qemu.tests.harness.lab import bring, did, kinds, lab

TINY = {"memory": "64MiB", "restart_policy": "no"}


@pytest.fixture
def name(home):
    """A lab's name: home ends machines whose names begin with it."""
    return home.name("lab")


def small(name, vms, **more):
    return {"lab": name, "defaults": TINY, "vms": vms, **more}


def pids(home):
    """QEMU's pids by machine."""
    found = {}
    for pid in look.qemus(home.root):
        argv = look.command_line(pid)
        found.setdefault(argv[argv.index("-name") + 1].partition(",")[0].removeprefix("guest="), []).append(pid)
    return found


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_lab_from_one_file(home, name):
    definition = small(name, {"db": {}, "web": {"count": 2, "depends_on": ["db"], "disks": [{"name": "data", "size": "8MiB"}]}})
    file = home.root / "lab.json"
    file.write_text(json.dumps(definition))
    more = home.root / "more.yml"
    more.write_text("vms: {web: {disks: [{name: data, discard: ignore}]}, db: {labels: {tier: back}}}\n")
    sources = [str(file), str(more)]
    task = {"maqet.qemu.maqet_lab": {"src": sources}, "diff": True}
    plan, done, again, foreseen = home.play({**task, "check_mode": True}, task, task, {**task, "check_mode": True})
    assert plan["changed"] and plan["summary"] == "3 to create"
    assert done["changed"] and done["summary"] == "3 created"
    assert did(plan) == did(done)
    assert kinds(done) == {f"{name}-{key}": "created" for key in ("db", "web-1", "web-2")}
    assert done["vms"][f"{name}-db"]["vm"]["labels"] == {"lab": name, "tier": "back"}
    for quiet in (again, foreseen):
        assert not quiet["changed"] and quiet["summary"] == "3 unchanged" and quiet["diff"] == []
    assert {machine: len(found) for machine, found in pids(home).items()} == dict.fromkeys(kinds(done), 1)
    texts = [part["prepared"] for part in plan["diff"] if "prepared" in part]
    assert texts[-1] == f"{name}: 3 to create\n"
    stopped, gone, none = home.play(*({"maqet.qemu.maqet_lab": {"src": sources, "state": state, "force": True}} for state in ("stopped", "absent", "absent")))
    assert stopped["summary"] == "3 stopped" and gone["summary"] == "3 removed" and not none["changed"]
    assert not home.traces(name)


def test_what_it_prunes_and_what_it_leaves_alone(home, name):
    port = {"nics": [{"name": "lan", "forwards": [{"guest": 22, "host": str(free_port())}]}]}
    first = small(name, {"old": port, "kept": {}, "safe": {"protect": True}})
    renamed = small(name, {"new": port, "kept": {}})
    foreign = f"{name}-foreign"
    made, other, plan, stays, pruned, again = home.play(
        lab(first),
        vm(foreign, **TINY, labels={"lab": "another"}),
        lab(renamed, prune=True, force=True, check=True),
        lab({**renamed, "vms": {"kept": {}}}),
        lab(renamed, prune=True, force=True),
        lab(renamed, prune=True, force=True, limit=["kept", "new"]),
    )
    assert not made["failed"] and not other["failed"]
    assert not stays["changed"], "without prune nothing goes"
    # The new one takes over the port of the one that goes; the protected one stays and says so.
    for result in (plan, pruned):
        assert kinds(result) == {f"{name}-new": "created", f"{name}-kept": "unchanged", f"{name}-old": "removed", f"{name}-safe": "failed"}
        assert f"{name}-safe: the machine is protected" in result["msg"]
    assert did(plan) == did(pruned)
    assert not again["failed"] and not again["changed"]
    assert set(pids(home)) == {f"{name}-{key}" for key in ("new", "kept", "safe", "foreign")}
    claimed, free = home.play(lab(small(name, {"foreign": {}})), vm(f"{name}-safe", protect=False, update="merge"))
    assert "was not made by a lab" in claimed["vms"][foreign]["error"]["msg"] and not free["failed"]
    end = home.play(lab({"lab": name}, state="absent", force=True))
    assert kinds(end) == {f"{name}-{key}": "removed" for key in ("kept", "new", "safe")}
    assert set(pids(home)) == {foreign}


def test_networks_of_a_lab(home, name):
    nics = {"nics": [{"name": "lan", "network": "lan"}]}
    vms = {"db": {"nics": [{"name": "lan", "network": "lan", "address": "10.10.0.10"}]}, "web": {"count": 2, **nics}}
    networks = {"lan": {"subnet": "10.10.0.0/24", "uplink": "nat"}}
    first, more = small(name, vms, networks=networks), small(name, {**vms, "web": {"count": 3, **nics}}, networks=networks)
    second = small(name, {**vms, "db": {"nics": [{"name": "lan", "network": "back"}]}}, networks={**networks, "back": {}})
    end = small(name, {"app": {}})
    tasks = [
        lab(definition, prune=True, force=True, on_restart_needed="restart", check=check)
        for definition in (first, more, second, end)
        for check in (True, False, False)
    ]
    results = home.play(*tasks)
    for number in range(0, len(tasks), 3):
        plan, done, again = results[number : number + 3]
        assert not done["failed"] and did(plan) == did(done) and not again["changed"], number
    made, grown = results[1], results[4]
    assert made["networks"][f"{name}-lan"]["result"] == "created"
    assert grown["summary"] == "1 created, 3 unchanged, 1 network changed", "its neighbours are told at their next boots"
    addresses = results[4]["networks"][f"{name}-lan"]["vm"]["addresses"]
    assert addresses[f"{name}-db/lan"] == "10.10.0.10" and len(set(addresses.values())) == 4
    assert {card: address for card, address in addresses.items() if "web-3" not in card} == made["networks"][f"{name}-lan"]["vm"]["addresses"]
    assert {word: part["result"] for word, part in results[10]["networks"].items()} == {f"{name}-lan": "removed", f"{name}-back": "removed"}
    assert not look.units(f"maqet-net-{name}")


def test_a_broken_machine_among_twenty(home, name):
    vms = {"web": {"count": 16}, "db": {"objects": [{"id": "none", "qom-type": "iothread", "poll-max-ns": -1}]}, "app": {"count": 2, "depends_on": ["db"]}}
    vms["top"] = {"depends_on": ["app"]}
    broken = small(name, vms)
    fixed = small(name, {**vms, "db": {}})
    failed, plan, rerun = home.play(lab(broken), lab(broken, check=True), lab(fixed))
    assert failed["failed"] and failed["changed"]
    assert list(kinds(failed).values()).count("created") == 16
    skipped = {key: part["skipped"] for key, part in failed["vms"].items() if part["skipped"]}
    assert skipped == {
        f"{name}-app-1": f"depends on {name}-db",
        f"{name}-app-2": f"depends on {name}-db",
        f"{name}-top": f"depends on {name}-app-1, {name}-app-2",
    }
    error = failed["vms"][f"{name}-db"]["error"]
    assert error["log"] and "poll-max-ns" in " ".join(error["log"])
    assert failed["msg"].count(f"{name}-db: ") == 1 and "1 failed, 3 skipped, of 20 machines" in failed["msg"]
    assert set(kinds(rerun).values()) == {"created", "unchanged"} and list(kinds(rerun).values()).count("unchanged") == 16
    assert len(pids(home)) == 20
    # What QEMU refuses at its start no plan knows.
    assert plan["summary"] == "4 to create, 16 unchanged" and not plan["failed"]


def test_bad_input_changes_nothing(home, name):
    cases = {
        "vms.web.nics[lan].network": small(name, {"web": {"nics": [{"name": "lan", "network": "lam"}]}}, networks={"lan": {}}),
        "vms.web.memry": small(name, {"db": {}, "web": {"memry": "64MiB"}}),
        "vms.web.depends_on": small(name, {"web": {"depends_on": ["db"]}}),
        "vms: a list is not a dictionary": small(name, ["db", "web"]),
        "profiles: a list is not a dictionary": small(name, {"db": {}}, profiles=["x"]),
        "a -> b -> a": small(name, {"a": {"depends_on": ["b"]}, "b": {"depends_on": ["a"]}}),
    }
    one = small(name, {"db": {}})
    results = home.play(*(lab(definition) for definition in cases.values()), lab(one, limit=["dbb"]), lab(one, parallel=-1), lab(one, parallel=0))
    for words, result in zip([*cases, "limit", "parallel: -1", "parallel: 0"], results):
        assert result["failed"] and not result["changed"] and words in result["msg"], result["msg"]
        assert result["msg"].startswith(f"{name}: ") and "Traceback" not in json.dumps(result)
    assert not look.listing(home.state, home.data)


def test_a_lab_that_fails_says_all(home, name):
    """Also of a network that is called as a machine is."""
    broken = {"objects": [{"id": "none", "qom-type": "iothread", "poll-max-ns": -1}]}
    definition = small(name, {"db": {"restart_policy": "always"}, "web": broken}, networks={"db": {}})
    plan, failed = home.play(lab(definition, check=True, supervisor="process"), lab(definition, supervisor="process"))
    assert plan["summary"] == "2 to create, 1 network to create" and failed["summary"] == "1 created, 1 failed, 1 network created"
    assert "1 failed, 0 skipped, of 2 machines\n" in failed["msg"] and [vm["host"] for vm in failed["vms"].values()] == [None, None]
    assert [part["before_header"] for part in plan["diff"] if "before_header" in part] == [f"network {name}-db", f"{name}-db", f"{name}-web"]
    for result in (plan, failed):
        assert any("is not restarted when QEMU fails" in words for words in result["warnings"]) and not result.get("deprecations"), result


def test_limit(home, name):
    definition = small(name, {"db": {}, "web": {"count": 2, "depends_on": ["db"]}})
    early, first, rest = home.play(lab(definition, limit=["web-1"]), lab(definition, limit=["db"]), lab(definition, limit=["web"]))
    assert early["vms"][f"{name}-web-1"]["skipped"] == f"depends on {name}-db" and not early["changed"]
    assert kinds(first) == {f"{name}-db": "created"}
    assert kinds(rest) == {f"{name}-web-1": "created", f"{name}-web-2": "created"}


def test_limit_removes_nothing_unasked(home, name):
    """A machine that the file has no more goes by prune, and is not to be had otherwise."""
    bring(home, small(name, {"db": {}, "web": {"count": 2}}), state="present")
    less = small(name, {"db": {}, "web": {"count": 1}})
    for state in ("stopped", "present", "started"):
        with pytest.raises(SpecError, match=r"limit: 'web-2' is no more in the file of lab .* prune: true removes it"):
            bring(home, less, state=state, limit=("web-2",))
    assert home.traces_of_files(f"{name}-web-2")
    pruned = bring(home, less, state="present", limit=("web-2",), prune=True)
    assert [member.kind for member in pruned.members.values()] == ["removed"] and not home.directory(f"{name}-web-2").exists()


TWENTY = {"base": {"count": 4}, "web": {"count": 16, "depends_on": ["base"], "disks": [{"name": "data", "size": "1MiB"}]}}


def converge(home, definition, ran):
    """One rerun ends what was cut off: none is there twice, none that ran was started again, and a second one is quiet."""
    outcome = bring(home, definition)
    assert not outcome.failed, [member.why for member in outcome.members.values()]
    now = pids(home)
    assert {machine: len(found) for machine, found in now.items()} == dict.fromkeys(outcome.members, 1)
    assert {machine: now[machine] for machine in ran} == ran
    assert not bring(home, definition).changed
    assert pids(home) == now


@pytest.mark.parametrize("share", range(2))
def test_the_module_is_killed_half_way(home, name, share):
    definition = small(name, TWENTY)
    moments = []
    bring(home, definition, witness=moments.append)
    for at in range(7 * (1 + share), len(moments), len(moments) // 7):
        assert not bring(home, definition, state="absent", force=True).failed
        child = Child(lambda at=at: bring(home, definition, witness=Cut(at)))
        assert child.end() == -signal.SIGKILL, "it came to its own end"
        converge(home, definition, pids(home))


def test_the_controller_is_killed_half_way(home, name):
    definition = small(name, TWENTY)
    for number in range(6):
        play = home.begin(lab(definition))
        time.sleep(0.9 + number * 0.35)
        os.kill(play.pid, signal.SIGKILL)
        for pid in home.modules() if number % 2 else ():  # else its module ends its work alone
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert look.wait_until(lambda: not home.modules(), 60)
        play.communicate()
        converge(home, definition, pids(home))
        assert not bring(home, definition, state="absent", force=True).failed


def commits(name):
    """Five states of a lab in git."""
    lab_of = {"lab": name, "defaults": TINY, "vms": {"db": {"labels": {"tier": "back"}}, "web": {"count": 2, "depends_on": ["db"]}}}
    yield "add", lab_of
    lab_of = {**lab_of, "vms": {**lab_of["vms"], "db": {"disks": [{"name": "data", "size": "8MiB"}], "cpus": 2}}}
    yield "change", lab_of
    lab_of = {**lab_of, "vms": {**lab_of["vms"], "web": {"count": 4, "depends_on": ["db"]}}}
    yield "scale", lab_of
    lab_of = {**lab_of, "vms": {"db": lab_of["vms"]["db"], "front": lab_of["vms"]["web"]}}
    yield "rename", lab_of
    yield "remove", {**lab_of, "vms": {"front": {"count": 1}}}


def test_five_commits(home, name):
    states = dict(commits(name))
    tasks = [lab(state, prune=True, force=True, check=check) for state in states.values() for check in (True, False, False)]
    results = home.play(*tasks)
    summaries = {}
    for number, word in enumerate(states):
        plan, done, again = results[3 * number : 3 * number + 3]
        assert did(plan) == did(done), word
        assert kinds(plan) == kinds(done) and not done["failed"] and not again["changed"], word
        assert {key: part["pending_restart"] for key, part in plan["vms"].items()} == {key: part["pending_restart"] for key, part in done["vms"].items()}
        summaries[word] = plan["summary"]
    assert summaries == {
        "add": "3 to create",
        "change": "1 to change, 1 pending restart, 2 unchanged",
        "scale": "2 to create, 1 pending restart, 2 unchanged",
        "rename": "4 to create, 4 to remove, 1 pending restart",
        "remove": "4 to remove, 1 unchanged",
    }
    assert set(pids(home)) == {f"{name}-front-1"}


def test_the_playbooks_of_a_lab(home, name):
    """And the role that two of them are. A file's name is looked for where ansible-playbook was started."""
    (home.desk / "lab.yml").write_text(json.dumps(small(name, {"web": {"count": 2}})))
    books = ({"import_playbook": f"maqet.qemu.lab_{word}", "vars": {"lab": "lab.yml", "lab_force": True}} for word in ("up", "status", "down"))
    said = [result["msg"] for result in home.end(home.begin_book(list(books), PWD=str(home.desk))) if "msg" in result]
    status = {f"{name}-web-1": "running", f"{name}-web-2": "running"}
    assert [what for what in said if what != "The arg spec validation passed"] == [f"{name}: 2 created", status, f"{name}: 2 unchanged", f"{name}: 2 stopped"]
    assert home.traces_of_files(f"{name}-web-1") and not pids(home)


def test_the_status_of_a_lab_whose_plan_fails(home, name):
    """Machines have one, whatever is in the way of them: here two that are to stay, and what depends on one that cannot be had."""
    first = small(name, {"db": {"protect": True}, "app": {}, "web": {}})
    assert not bring(home, first).failed
    cannot = {"disks": [{"name": "root", "path": "/nowhere/root.qcow2"}]}
    (home.desk / "lab.yml").write_text(json.dumps(small(name, {"app": cannot, "web": {"depends_on": ["app"]}, "new": {}})))
    book = {"import_playbook": "maqet.qemu.lab_status", "vars": {"lab": "lab.yml"}}
    looked, status, plan, way = home.end(home.begin_book([book], PWD=str(home.desk)))
    assert status["msg"] == {f"{name}-{key}": "absent" if key == "new" else "running" for key in ("app", "web", "new", "db")}
    assert plan["msg"] == f"{name}: 1 to create, 2 that cannot be, 1 to skip"
    assert way["msg"] == looked["msg"] and "protected" in way["msg"] and "/nowhere/root.qcow2" in way["msg"]
    assert not looked["failed"] and not looked["changed"]
