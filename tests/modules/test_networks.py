# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks: made, changed, broken, removed. Frames really pass, and what they pass through is looked at without our code."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import HostError, RefusedError
from ansible_collections.maqet.qemu.tests.harness import look, wire
from ansible_collections.maqet.qemu.tests.harness.children import Child
from ansible_collections.maqet.qemu.tests.harness.engine import Cut, reach
from ansible_collections.maqet.qemu.tests.harness.lab import bring
from ansible_collections.maqet.qemu.tests.harness.network import Tap, network, pids

LAN = {"subnet": "10.77.0.0/24", "uplink": "nat", "addresses": {"a/lan": "10.77.0.10"}, "hosts": {"a": "10.77.0.10"}}
DRIVERS = ("switch", "hub")


@pytest.fixture(params=DRIVERS)
def driver(request):
    return request.param


@pytest.fixture
def taps(home):
    made = []

    def tap(name, nic="lan"):
        made.append(Tap(home, name, nic, len(made)))
        return made[-1]

    yield tap
    for each in made:
        each.close()


def card(name, nic="lan"):
    return {"name": nic, "network": "switch", "switch": name}


def actions(outcome):
    return [action["action"] for action in outcome.actions]


def settled(home, name, **wish):
    again = network(home, name, **wish)
    assert (again.changed, again.actions) == (False, []), again.actions
    return again


def traces(home, name):
    files = [str(path) for path in (home.net_directory(name), home.net_sockets(name)) if path.exists()]
    return [*files, *look.units(name), *pids(home, name)]


def test_its_life(home, supervisor, driver):
    """Planned, made, unchanged; its uplink comes, goes and changes beside machines that stay; in use it is not removed."""
    name, wish = home.network(), {**LAN, "driver": driver, "supervisor": supervisor}
    planned = network(home, name, check=True, **wish)
    assert planned.changed and not traces(home, name)
    made = network(home, name, **wish)
    assert actions(made) == actions(planned) and made.vm["status"] == "running"
    settled(home, name, **wish)
    programs = pids(home, name)
    assert set(programs) == ({"switch", "uplink"} if driver == "switch" else {"switch"})
    check_private(home, name, driver)
    if supervisor == "systemd":
        units = {f"maqet-net-{name}.service": "switch", f"maqet-net-{name}:uplink.service": "uplink"}
        assert sorted(look.units(name)) == sorted(unit for unit, program in units.items() if program in programs)
        for unit in look.units(name):
            facts = set(look.systemctl("show", unit).splitlines())
            assert {f"MainPID={programs[units[unit]]}", "Slice=maqet.slice", "NoNewPrivileges=yes", "UMask=0077", "Restart=on-failure"} <= facts
    vm = home.name()
    home.started(vm, supervisor, nics=[card(name)])
    for change, done in (({"uplink": "none"}, "stop_uplink"), ({}, "start_uplink"), ({"subnet": "10.78.0.0/24"}, None)):
        changed = network(home, name, **{**wish, **change})
        assert actions(changed)[0] == "define_network" and done in (None, actions(changed)[1]), changed.actions
        settled(home, name, **{**wish, **change})
    assert actions(network(home, name, **{**wish, "subnet": "10.78.0.0/24", "hosts": {}})) == ["define_network"]
    assert pids(home, name)["switch"] == programs["switch"] and not reach(home, vm, state="started").changed
    for refused in ({"state": "absent"}, {"driver": DRIVERS[driver == "switch"]}, {"lab": "other"}):
        with pytest.raises(RefusedError, match=vm):
            network(home, name, **{**wish, **refused})
    assert network(home, name, check=True, state="absent", leaving=(vm,)).changed
    reach(home, vm, state="absent", force=True)
    assert actions(network(home, name, state="absent")) == ["remove_network"]
    assert not traces(home, name) and not network(home, name, state="absent").changed


def check_private(home, name, driver):
    sockets = home.net_sockets(name)
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700 and sockets.stat().st_uid == os.getuid()
    if driver == "switch":
        assert stat.S_IMODE((sockets / "vde").stat().st_mode) == 0o700
        assert stat.S_IMODE((sockets / "vde/ctl").stat().st_mode) & 0o077 == 0


def test_frames(home, driver, taps):
    """They pass between the machines of a network and of no other; a card comes, goes, and moves to another network live."""
    lan, other = home.network(), home.network("other")
    for name in (lan, other):
        network(home, name, driver=driver, supervisor="process")
    a, b, c = (home.name(word) for word in "abc")
    for name, net in ((a, lan), (b, lan), (c, other)):
        home.started(name, "process", nics=[card(net)])
    on_a, on_b, on_c = map(taps, (a, b, c))
    assert passes(on_a, on_b, "first") and not on_c.hears("first")
    before = home.pid(c)
    moved = reach(home, c, raw={"memory": "64MiB", "nics": [card(lan)]}, supervisor="process")
    assert (actions(moved), moved.pending_restart, home.pid(c)) == (["define", "qmp"], [], before)
    assert passes(on_a, on_c, "second") and on_b.hears("second")
    plugged = reach(home, c, raw={"memory": "64MiB", "nics": [card(lan), card(other, "more")]}, supervisor="process")
    assert (actions(plugged), plugged.pending_restart) == (["define", "plug"], [])
    with pytest.raises(HostError, match=r"nics\[lan\].switch: there is no network 'nowhere' here"):
        reach(home, home.name("d"), raw={"memory": "64MiB", "nics": [card("nowhere")]})


def test_a_switch_that_is_killed(home, supervisor, driver, taps):
    """systemd starts it again, or our next task; the cards that were on it are connected again, and the machines stay."""
    name, wish = home.network(), {**LAN, "driver": driver, "supervisor": supervisor}
    network(home, name, **wish)
    a, b = home.name("a"), home.name("b")
    for vm in (a, b):
        home.started(vm, supervisor, nics=[card(name)])
    on_a, on_b, machines = taps(a), taps(b), (home.pid(a), home.pid(b))
    first = pids(home, name)
    os.kill(first["switch"], signal.SIGKILL)
    if supervisor == "systemd":
        look.wait_until(lambda: pids(home, name).get("switch", first["switch"]) != first["switch"] and set(pids(home, name)) == set(first))
        assert not network(home, name, **wish).changed
    else:
        with pytest.raises(HostError, match=r"the switch of network .* does not run"):
            reach(home, a, state="started")
        assert "start_switch" in actions(network(home, name, **wish))
    settled(home, name, **wish)
    assert all(pid != first[program] for program, pid in pids(home, name).items())
    for vm in (a, b):
        repaired = reach(home, vm, state="started")
        assert (actions(repaired), repaired.pending_restart) == (["qmp"], [])
        assert not reach(home, vm, state="started").changed
    assert passes(on_a, on_b, "again") and (home.pid(a), home.pid(b)) == machines
    if supervisor == "systemd":  # a crashed machine finds its switch again by itself
        os.kill(home.pid(b), signal.SIGKILL)
        look.wait_until(lambda: home.qemus(b) not in ([], [machines[1]]) and answers(home, b))
        again = reach(home, b, state="started")
        assert not again.changed, again.actions
        new_b = taps(b)
        assert passes(on_a, new_b, "more")


def passes(here, there, text):
    """Whether a frame comes through: what is sent while a card is still being connected is lost."""

    def once():
        here.send(text)
        return there.hears(text)

    return look.wait_until(once)


def answers(home, name):
    try:
        return wire.ask(home.sockets(name) / "monitor.sock", "query-status")["running"]
    except OSError:
        return False


def test_an_uplink_that_is_killed(home, supervisor):
    name, wish = home.network(), {**LAN, "supervisor": supervisor}
    network(home, name, **wish)
    first = pids(home, name)
    os.kill(first["uplink"], signal.SIGKILL)
    if supervisor == "process":
        look.wait_until(lambda: not look.is_alive(first["uplink"]))
    again = network(home, name, **wish)
    assert actions(again) == ([] if supervisor == "systemd" else ["start_uplink"])
    assert pids(home, name)["switch"] == first["switch"] and pids(home, name)["uplink"] != first["uplink"]


def cut(home, name, number, wish):
    """A task in a child that is killed at the boundary with this number; whether there was one."""
    return Child(lambda: network(home, name, witness=Cut(number), **wish)).end() != 0


def test_killed_at_every_boundary(home, driver):
    """One rerun converges, the next finds nothing to do."""
    name, wish = home.network(), {**LAN, "driver": driver, "supervisor": "process"}
    for before, then in ((None, wish), (wish, {**wish, "subnet": "10.79.0.0/24"}), (wish, {"state": "absent"})):
        number = 0
        while True:
            network(home, name, **(before or {"state": "absent"}))
            if not cut(home, name, number, then):
                break
            network(home, name, **then)
            settled(home, name, **then)
            assert set(pids(home, name)) == (set() if then.get("state") else {"switch", "uplink"} if driver == "switch" else {"switch"})
            number += 1
        assert number > 2
    network(home, name, state="absent")
    assert not traces(home, name)


def test_a_state_db_of_the_release_before(home):
    """It is brought up to date when it is written; a machine that runs is as it was, whatever options have come since."""
    name, vm = home.network(), home.name()
    home.started(vm, "process", nics=[{"name": "lan"}])
    database = home.state / "maqet/state.db"
    with sqlite3.connect(database) as connection:
        (text,) = connection.execute("SELECT record FROM machines").fetchone()
        old = json.loads(text)
        for spec in (old["declared"], old["applied"]):
            for option in ("switch", "mcast"):
                del spec["nics"]["lan"][option]
        for key in ("wired", "lab"):
            del old[key]
        old["schema"] = 3
        connection.execute("UPDATE machines SET record = ?", (json.dumps(old),))
        connection.execute("DROP TABLE networks")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    (home.directory(vm) / "machine.json").write_text(json.dumps(old))
    pid = home.pid(vm)
    again = reach(home, vm, raw={"memory": "64MiB", "nics": [{"name": "lan"}]})
    assert (again.changed, again.actions, home.pid(vm)) == (False, [], pid)
    network(home, name, **LAN, supervisor="process")
    settled(home, name, **LAN, supervisor="process")
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT name FROM networks").fetchall() == [(name,)]
    connection.close()
    for lose in (database.unlink, lambda: database.write_bytes(b"torn" * 1000)):
        lose()
        settled(home, name, **LAN, supervisor="process")
        network(home, name, **{**LAN, "hosts": {}}, supervisor="process")
        network(home, name, **LAN, supervisor="process")
        assert not reach(home, vm, state="started").changed
    assert wire.ask(home.sockets(vm) / "monitor.sock", "query-status")["running"]


def lab_of(name, driver="switch", **vms):
    return {"lab": name, "defaults": {"memory": "64MiB"}, "networks": {"lan": {"driver": driver}, "spare": {"driver": driver}}, "vms": vms}


def took(outcome):
    """What was done to each network and machine of a lab that went well."""
    assert not outcome.failed, [(name, member.why) for name, member in (*outcome.networks.items(), *outcome.members.items())]
    return {name.rpartition("-")[2]: actions(member.outcome) for name, member in (*outcome.networks.items(), *outcome.members.items())}


def test_a_lab_that_stops_starts_nothing(home, driver):
    """No network is started, changed or missed for it, whatever became of it."""
    name, other = home.name("lab"), DRIVERS[driver == "switch"]
    lan, task = f"{name}-lan", {"supervisor": "process", "force": True}
    app = {"nics": [{"name": "lan", "network": "lan"}]}
    planned, made = (bring(home, lab_of(name, driver, app=app), state="stopped", check=check, **task) for check in (True, False))
    assert took(planned) == took(made) == {"lan": ["define_network"], "app": ["define"]}
    assert not pids(home, lan) and made.networks[lan].outcome.vm["status"] == "stopped"
    started = took(bring(home, lab_of(name, driver, app=app), **task))
    assert started == {"lan": ["start_switch"], "spare": ["define_network", "start_switch"], "app": ["start"]}
    os.kill(pids(home, lan)["switch"], signal.SIGKILL)
    look.wait_until(lambda: not pids(home, lan))
    changed = lab_of(name, other, app={**app, "labels": {"a": "b"}}, new=app)
    assert took(bring(home, changed, state="stopped", **task)) == {"lan": [], "app": ["define", "stop"], "new": ["define"]}
    assert took(bring(home, changed, state="stopped", **task)) == {"lan": [], "app": [], "new": []}
    assert not pids(home, lan)


def test_a_network_without_machines_of_its_lab(home):
    """Others may be on it. A task that is about some of the lab's machines brings only theirs."""
    name, task = home.name("lab"), {"supervisor": "process"}
    definition = {**lab_of(name, app={"count": 0}, web={}), "networks": {"lan": {}}}
    assert took(bring(home, definition, limit=("web",), state="present", **task)) == {"web": ["define"]}
    assert took(bring(home, definition, state="present", **task)) == {"lan": ["define_network", "start_switch"], "web": []}
    guest = home.name("guest")
    home.started(guest, "process", nics=[card(f"{name}-lan")])
    assert took(bring(home, {**definition, "networks": {"lan": {"uplink": "nat"}}}, state="present", **task)) == {
        "lan": ["define_network", "start_uplink"],
        "web": [],
    }


@pytest.mark.parametrize("more", [{"prune": True}, {"state": "absent"}], ids=str)
def test_what_limit_leaves(home, more):
    """A network that is to go stays, without a word, while machines are on it that the task is not about."""
    name, task = home.name("lab"), {"supervisor": "process"}
    on_lan, on_back = ({"nics": [{"name": "lan", "network": word}]} for word in ("lan", "back"))
    before = {**lab_of(name, db=on_back, web=on_back), "networks": {"lan": {}, "back": {}}}
    took(bring(home, before, state="present", **task))
    after = {**lab_of(name, db=on_lan, web=on_lan), "networks": {"lan": {}}}
    for check in (True, False):
        first = took(bring(home, after, check=check, limit=("web",), **{"state": "present", **task, **more}))
        assert "back" not in first and first["web"] == (["remove"] if "state" in more else ["define"])
    for check in (True, False):
        assert took(bring(home, after, check=check, limit=("db",), **{"state": "present", **task, **more}))["back"] == ["remove_network"]


def test_a_machine_that_is_on_another_host_now(home):
    """It is the task's trouble where the task is about it."""
    name, task = home.name("lab"), {"supervisor": "process", "state": "present", "hosts": ("", "here")}
    vms = {"db": {}, "web": {}}
    took(bring(home, {"lab": name, "vms": vms}, **task))
    moved = {"lab": name, "vms": {**vms, "web": {"host": "there"}}}
    assert took(bring(home, moved, limit=("db",), **task)) == {"db": []}
    assert "the lab has it on there" in bring(home, moved, **task).members[f"{name}-web"].why
