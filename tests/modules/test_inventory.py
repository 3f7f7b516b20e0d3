# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin, by ansible-inventory: of this host, and of others over their connection."""

from __future__ import annotations

import json

import pytest
from ansible_collections.maqet.qemu.tests.harness.engine import Wish, reach, reach_all
from ansible_collections.maqet.qemu.tests.harness.home import Home, task
from ansible_collections.maqet.qemu.tests.harness.inventory import Inventory, as_user, telling
from ansible_collections.maqet.qemu.tests.harness.wire import Wire

SMALL = {"memory": "64MiB"}
SSH = {"name": "lan", "forwards": [{"guest": 22}, {"guest": 80}]}
GONE = {"ansible_host": "127.0.0.1", "ansible_port": 1}
# Templates without a brace.
HEADER = "#jinja2: variable_start_string:'[[', variable_end_string:']]'\n[[ 'evalu' ~ 'ated' ]]"


@pytest.fixture
def other(tmp_path):
    scratch = Home(tmp_path / "other")
    yield scratch
    scratch.close()


def declared(home, **machines):
    outcomes = reach_all(home, [Wish(name, raw={**SMALL, **raw}, state="present") for name, raw in machines.items()])
    assert [outcome.error for outcome in outcomes if outcome.error] == []


def test_this_host(home):
    web, db, odd = home.name("web"), home.name("db"), home.name("odd")
    home.started(web, nics=[SSH], labels={"lab": "shop-a", "role": "web"}, guest_agent=True)
    declared(
        home,
        **{
            db: {"nics": [{"name": "lan", "address": "10.0.2.20"}], "labels": {"role": "{{ 1 + 1 }}", "header": HEADER}, "guest_agent": False},
            odd: {"guest_agent": True},
        },
    )
    inventory = Inventory(home)
    groups, hosts = inventory.read(
        connect=["forward", "address", "agent"],
        compose={"letters": "maqet_lab | length", "nothing": "nosuch"},
        groups={"linked": "maqet_connect is not none"},
        keyed_groups=[{"key": "maqet_connect"}],
    )
    assert groups["maqet_machines"] == set(hosts) == {web, db, odd} and groups["linked"] == {web, odd} and inventory.warnings == ""
    assert (groups["lab_shop_a"], groups["label_role_web"], groups["state_running"], groups["state_stopped"]) == ({web}, {web}, {web}, {db, odd})
    assert (groups["_forward"], groups["_agent"]) == ({web}, {odd})
    stored = json.loads((home.directory(web) / "machine.json").read_text())["identity"]
    assert (hosts[web]["ansible_host"], hosts[web]["ansible_port"]) == ("127.0.0.1", stored["ports"]["lan/tcp/22"])
    facts = {"name": web, "uuid": stored["uuid"], "state": "running", "lab": "shop-a", "hypervisor": "localhost", "macs": stored["macs"]}
    assert {key: hosts[web][f"maqet_{key}"] for key in facts} == facts and hosts[web]["letters"] == 6
    assert hosts[db]["maqet_addresses"] == {"lan": "10.0.2.20"} and "ansible_host" not in hosts[db]
    # A label is data, whatever it looks like.
    assert hosts[db]["maqet_labels"] == {"role": {"__ansible_unsafe": "{{ 1 + 1 }}"}, "header": {"__ansible_unsafe": HEADER}}
    assert hosts[odd]["ansible_connection"] == "maqet.qemu.maqet_guest" and hosts[odd]["maqet_guest_vm"] == odd and "ansible_host" not in hosts[odd]
    with Wire(home.sockets(web) / "monitor.sock") as wire:
        wire.ask("stop")
    groups, hosts = inventory.read(labels={"role": "web"}, connect=["agent", "forward"], guest_port=80)
    assert groups["state_paused"] == set(hosts) == {web} and hosts[web]["maqet_connect"] == "agent"
    assert set(inventory.read(states=["stopped"], labs=[""])[1]) == {db, odd}
    assert inventory.read(labs=["nosuch"])[1] == {}


def test_nothing_is_made(home):
    assert Inventory(home).read()[1] == {} and not list(home.state.iterdir()) and not list(home.data.iterdir())


def test_what_is_wrong_is_said(home):
    inventory = Inventory(home)
    declared(home, **{home.name(): {}})
    assert "maqet.yml: hypervisor: is no option here. Did you mean 'hypervisors'?" in inventory.refused(hypervisor=["hv1"])
    assert "'hv9' is no host or group that was read before" in inventory.refused(hypervisors=["hv9"])
    assert "separator: '/' cannot be" in inventory.refused(separator="/")
    assert "hypervisors: gone cannot be reached" in inventory.refused(hypervisors={"gone": GONE}, on_error="fail")
    (home.state / "maqet/state.db").chmod(0)
    assert "localhost cannot tell its machines" in inventory.refused(on_error="fail")
    assert inventory.read()[1] == {} and "cannot be used" in inventory.warnings


def test_hypervisors(home, other):
    """Two users, each with machines of their own, and one that is not there."""
    shared, web, db = home.name("shared"), home.name("web"), home.name("db")
    declared(home, **{shared: {}, web: {"nics": [SSH]}})
    declared(other, **{shared: {"labels": {"whose": "other", "braces": "{{ 'evalu' ~ 'ated' }}", "header": HEADER, HEADER: 1}}, db: {"guest_agent": True}})
    both = {"me": as_user(home), "you": as_user(other)}
    inventory = Inventory(home)
    groups, hosts = inventory.read(hypervisors={**both, "gone": GONE}, timeout=20)
    assert set(hosts) == {f"me.{shared}", f"you.{shared}", web, db}
    assert (hosts[f"you.{shared}"]["maqet_name"], hosts[db]["maqet_guest_hypervisor"]) == (shared, "you")
    assert groups["label_whose_other"] == {f"you.{shared}"} and hosts[web]["ansible_host"] == "127.0.0.1"
    assert "gone cannot be reached" in inventory.warnings and f"'{shared}' is the name of more than one host" in inventory.warnings

    # As inventory hosts, with what files beside the inventory say; what the command line says is for others.
    (home.desk / "hosts.json").write_text(json.dumps({"hypervisors": {"hosts": dict.fromkeys(both)}}))
    (home.desk / "group_vars").mkdir()
    (home.desk / "group_vars/hypervisors.json").write_text(json.dumps({"ansible_connection": "local"}))
    (home.desk / "host_vars").mkdir()
    for name, said in both.items():
        (home.desk / f"host_vars/{name}.json").write_text(json.dumps({"ansible_python_interpreter": said["ansible_python_interpreter"]}))
    sources = [
        "-i",
        home.desk / "hosts.json",
        "-i",
        inventory.file("z.maqet.yml", hypervisors=["hypervisors"], hypervisor_prefix="always", separator="-", connect=[]),
    ]
    play = home.desk / "play.json"
    # What a task makes of a label is no template either, when it is used next.
    tasks = [
        task("ansible.builtin.set_fact", joined="{{ maqet_labels.keys() | join }}", value="-{{ maqet_labels.header }}"),
        task("ansible.builtin.debug", msg="{{ maqet_labels }} {{ joined }} {{ value }}"),
    ]
    play.write_text(json.dumps([{"hosts": "maqet_machines", "gather_facts": False, "tasks": [{**each, "tags": "x"} for each in tasks]}]))
    flags = ["-b", "--become-user", "nobody", "-u", "nobody", "-c", "ssh", "--limit", f"you-{shared}", "--tags", "x", "--check", "--private-key", "/nosuch"]
    flags += ["-e", "ansible_python_interpreter=/nosuch", "-e", json.dumps({"ansible_connection": "ssh"})]
    done = inventory.run(*sources, play, *flags, program="ansible-playbook")
    assert done.returncode == 0 and "'whose': 'other'" in done.stdout.replace('"', "'") and f"me-{shared}" not in done.stdout, done.stdout + done.stderr
    assert "evaluated" not in done.stdout and done.stdout.count("#jinja2:") >= 4


def test_whatever_a_hypervisor_says(home):
    """It is no other host, reaches no other host's variables, and costs no other hypervisor its machines."""
    there = {"status": "running", "forwards": [{"nic": "lan", "protocol": "tcp", "listen": "203.0.113.66", "host": 2222, "guest": 22}]}
    names = ["all", "prod", "prod-db", "127.0.0.1", "hv2", "hv2.web", "web", "mine", "state_running"]
    evil = [{"name": name, **there} for name in names]
    evil += [{"name": "web"}, {"name": "listed", "labels": ["x"]}, {"name": "of-5", "forwards": 5}, "x", {"name": "numbered", "labels": {"tier": 5}}]
    given = {
        "hv1": telling(home, "hv1", evil),
        "hv2": telling(home, "hv2", [{"name": "web", **there, "labels": {"tier": "x"}}]),
        "deep": telling(home, "deep", '{"vms": ' + "[" * 9999 + "]" * 9999 + "}"),
        "dumb": telling(home, "dumb", '{"failed": true, "msg": "\\u001b[2Jhi", "warnings": 5}'),
    }
    secret = {"ansible_host": "10.0.0.5", "ansible_password": "x"}
    static = {"prod": {"hosts": {"prod-db": secret, "mine": {"maqet_hypervisor": "hv1"}, "label_tier_x": {}}}}
    (home.desk / "hosts.json").write_text(json.dumps(static))
    inventory = Inventory(home)
    groups, hosts = inventory.read(home.desk / "hosts.json", hypervisors=given, keyed_groups=[{"key": "maqet_labels.tier", "prefix": "tier"}])
    prefixed = {f"hv1.{name}" for name in names if name != "mine"}
    assert set(hosts) | {"label_tier_x"} == {"prod-db", "mine", "numbered", "hv2.web", "label_tier_x"} | prefixed
    assert hosts["prod-db"] == secret and groups["prod"] == {"prod-db", "mine", "label_tier_x"}
    assert hosts["hv2.web"]["maqet_hypervisor"] == "hv2" and hosts["mine"]["ansible_host"] == "203.0.113.66"
    assert groups["state_running"] == prefixed | {"mine", "hv2.web"} and groups["tier_5"] == {"numbered"} and "label_tier_x" not in groups
    assert "hv1 tells of what is no machine: web, told of twice; listed, by its labels; of-5, by its forwards; and 1 more" in inventory.warnings
    assert "dumb cannot tell its machines: [2Jhi" in inventory.warnings and "deep cannot tell" in inventory.warnings
    assert "hv1 tells of what is no machine" in inventory.refused(hypervisors={"hv1": given["hv1"]}, on_error="fail")


def test_machines_of_two_sources(home):
    """A machine of an earlier source is no other hypervisor's, and is the same one in both."""
    given = {host: telling(home, host, [{"name": "web", "lab": lab}]) for host, lab in (("hv1", "a"), ("hv2", "b"))}
    inventory = Inventory(home)
    first = inventory.file("a.maqet.yml", labs=["a"], hypervisors=given)
    groups, hosts = inventory.read(first, labs=["b"], hypervisors=given)
    assert (groups["lab_a"], groups["lab_b"], hosts["web"]["maqet_hypervisor"]) == ({"web"}, {"hv2.web"}, "hv1")
    assert "'web' is the name of more than one host or group: here hv2.web" in inventory.warnings
    assert set(inventory.read(first, labs=["a"], hypervisors=given, groups={"again": "true"})[0]["again"]) == {"web"}


def test_an_answer_in_the_cache(home, other):
    mine, yours = home.name("mine"), home.name("yours")
    home.started(mine)
    declared(other, **{yours: {}})
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(home.desk / "cache")}
    inventory = Inventory(home)

    def states(hypervisors, flags=()):
        hosts = inventory.read(hypervisors=hypervisors, flags=flags, **cache)[1]
        return {name: facts["maqet_state"] for name, facts in hosts.items()}

    me, you = as_user(home), as_user(other)
    assert states({"hv": me, "gone": GONE}) == {mine: "running"}
    reach(home, mine, state="stopped", force=True)
    assert states({"hv": me, "gone": GONE}) == {mine: "running"} and "gone cannot be reached" in inventory.warnings
    # The same name for another's machines is another question; and this host is always looked at.
    assert states({"hv": you, "localhost": None}) == {yours: "stopped", mine: "stopped"}
    assert states({"hv": {**me, "ansible_become_user": "her"}}) == {mine: "stopped"}
    assert states({"hv": me}) == {mine: "running"} and states({"hv": me}, flags=["--flush-cache"]) == {mine: "stopped"}
