# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines as hosts: what they are called and how they are reached, whatever a hypervisor says."""

from __future__ import annotations

import shlex

import pytest
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.plugin_utils._answers import fault, plain, read, warnings, words, write
from ansible_collections.maqet.qemu.plugins.plugin_utils._hypervisors import Hypervisors
from ansible_collections.maqet.qemu.plugins.plugin_utils._machines import NOBODY, OTHERS, WAYS, Found, Naming, Ways, entitle, groups


def machine(name="web", **facts):
    return {"name": name, "status": "running", **facts}


def forward(listen="127.0.0.1", host=2222, guest=22, protocol="tcp"):
    return {"listen": listen, "host": host, "guest": guest, "protocol": protocol, "nic": "lan"}


def titles(found, prefix="auto", separator=".", **taken):
    named, told, left = entitle([Found(hypervisor, machine(name)) for hypervisor, name in found], Naming(prefix, separator, taken))
    return {title: item.place for title, item in named.items()}, [*told, *left]


def test_names():
    assert titles([("a", "web"), ("b", "db")]) == ({"web": "a/web", "db": "b/db"}, [])
    named, told = titles([("a", "web"), ("b", "web"), ("b", "db")])
    assert set(named) == {"a.web", "b.web", "db"} and told == ["'web' is the name of more than one host or group: here a.web, b.web"]
    assert titles([("a", "web")], prefix="always", separator="-") == ({"a-web": "a/web"}, [])
    with pytest.raises(SpecError):
        titles([("a", "web"), ("b", "web")], prefix="never")


@pytest.mark.parametrize(
    "whose, here",
    [
        (NOBODY, {"hv1": False, "localhost": False}),  # a group, a hypervisor
        (OTHERS, {"hv1": False, "localhost": True}),
        ("hv1", {"hv1": True, "hv2": False, "localhost": False}),
        ("hv1/web", {"hv1": True, "hv2": False, "localhost": False}),
        ("hv1/db", {"hv1": False}),
        ("localhost/web", {"hv1": False, "localhost": True}),
    ],
)
def test_whose_a_name_is_already(whose, here):
    """A hypervisor's machine is a host that there is where that host says so."""
    for hypervisor, is_its in here.items():
        assert list(titles([(hypervisor, "web")], web=whose)[0]) == ["web" if is_its else f"{hypervisor}.web"]


@pytest.mark.parametrize(
    "found, options, expected",
    [
        # Who calls a machine as another's is called in full does not get that name.
        ([("a", "web"), ("a", "b.web"), ("b", "web")], {}, {"a.web": "a/web", "a.b.web": "a/b.web", "b.web": "b/web"}),
        ([("a", "web"), ("b", "db")], {"prefix": "always", "a.web": OTHERS}, {"b.db": "b/db"}),
        ([("a", "b-web"), ("a-b", "web"), ("b", "web")], {"prefix": "always", "separator": "-"}, {"b-web": "b/web"}),
        ([("localhost", "b.web"), ("localhost.b", "web")], {"prefix": "always"}, {"localhost.b.web": "localhost/b.web"}),
    ],
)
def test_two_are_never_one(found, options, expected):
    named, told = titles(found, **options)
    assert named == expected and len(told) >= len(found) - len(expected)


@pytest.mark.parametrize("said", [None, {}, {"name": ""}, {"name": "a b"}, {"name": "-oProxyCommand=x"}, {"name": "a\n"}, {"name": 1}, ["name"]])
def test_what_is_no_machine(said):
    assert fault(said)


@pytest.mark.parametrize(
    "facts",
    [
        {"labels": ["a"]},
        {"labels": dict.fromkeys(map(str, range(101)))},
        {"forwards": 5},
        {"forwards": ["x"]},
        {"networks": ["x"]},
        {"addresses": "x"},
        {"addresses": {"lan": ["10.0.0.1"]}},
        {"status": {}},
        {"lab": ["shop"]},
        {"guest_agent": "yes"},
        {"sockets": {"agent": 1}},
    ],
)
def test_what_a_machine_cannot_have(facts):
    assert fault(machine()) == "" and fault(machine(**facts)) == f"web, by its {next(iter(facts))}"


def test_what_is_no_answer():
    circle = []
    circle.append(circle)
    assert plain([{"name": "web"}]) == [{"name": "web"}]
    for said in (None, {}, "web", [object()], circle, ["x" * 3_000_000], [{}] * 6000):
        assert plain(said) is None


def test_what_a_cache_has():
    assert read(write([{"labels": {"__ansible_vault": "x"}}])) == [{"labels": {"__ansible_vault": "x"}}]
    assert [read(said) for said in (None, [], "{}", "[", "[" * 99_999)] == [None] * 5


def test_what_a_hypervisor_says_is_one_line():
    assert words("\x1b[2Jboo\n\r\u202ehoo") == "[2Jboo hoo" and len(words("x" * 10_000)) < 1000
    assert warnings({"warnings": "abc"}) == warnings({}) == [] and warnings({"warnings": ["a\nb", 5]}) == ["a b", "5"]


def test_groups():
    assert list(groups(Found("a", {"name": "web"}))) == ["maqet_machines"]
    assert list(groups(Found("a", machine(lab="shop", labels={"role": "db"})))) == ["maqet_machines", "state_running", "lab_shop", "label_role_db"]
    assert list(groups(Found("a", machine(lab="", labels=None)))) == ["maqet_machines", "state_running"]


ON_A_BRIDGE = {"networks": {"out": "user", "lan": "bridge"}, "addresses": {"out": "10.0.2.20", "lan": "192.168.7.10"}}
AGENT = {"ansible_connection": "maqet.qemu.maqet_guest", "maqet_guest_vm": "web", "maqet_guest_hypervisor": "localhost", "maqet_connect": "agent"}


@pytest.mark.parametrize(
    "facts, expected",
    [
        ({}, {"maqet_connect": None}),
        ({"forwards": [forward(guest=80), forward()]}, {"ansible_host": "127.0.0.1", "ansible_port": 2222, "maqet_connect": "forward"}),
        ({"forwards": [forward("0.0.0.0")]}, {"ansible_host": "127.0.0.1", "ansible_port": 2222, "maqet_connect": "forward"}),
        ({"forwards": [forward("192.168.1.5")]}, {"ansible_host": "192.168.1.5", "ansible_port": 2222, "maqet_connect": "forward"}),
        ({"forwards": [forward(protocol="udp"), forward(host=None), forward("-oProxyCommand=x"), forward(host="22")]}, {"maqet_connect": None}),
        (ON_A_BRIDGE, {"ansible_host": "192.168.7.10", "maqet_connect": "address"}),
        ({"networks": {"lan": "switch"}, "addresses": {"lan": "10.10.0.10"}, "guest_agent": True}, AGENT),
        ({"networks": {"lan": "bridge"}, "addresses": {"lan": "-oProxyCommand=x"}}, {"maqet_connect": None}),
        ({"forwards": [forward("::")]}, {"ansible_host": "::1", "ansible_port": 2222, "maqet_connect": "forward"}),
        ({"forwards": [forward(host=port) for port in (-1, 0, 65536, True, 22.0)]}, {"maqet_connect": None}),
        ({"forwards": [forward("fe80::1%x$(id>p);`id`"), forward("224.0.0.1")]}, {"maqet_connect": None}),
        ({"networks": {"lan": "tap"}, "addresses": {"lan": "fe80::1%;id"}}, {"maqet_connect": None}),
        *(({"networks": {"lan": "tap"}, "addresses": {"lan": own}}, {"maqet_connect": None}) for own in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0")),
    ],
)
def test_ways(facts, expected):
    assert Ways(list(WAYS), 22, None).to("web", Found("localhost", machine(**facts))) == expected


def test_the_order_of_ways():
    item = Found("localhost", machine(forwards=[forward()], guest_agent=True, **ON_A_BRIDGE))
    assert [Ways(order, 22, None).to("web", item)["maqet_connect"] for order in (list(WAYS), ["address", "agent"], ["agent", "forward"], [])] == [
        "forward",
        "address",
        "agent",
        None,
    ]
    assert Ways(["address"], 2200, None).to("web", item)["ansible_port"] == 2200


def hypervisors(hosts=(), **given):
    known = InventoryData()
    for name in hosts:
        known.add_host(name)
    return Hypervisors(known, DataLoader(), {name: {"ansible_connection": "ssh", **more} if more else {} for name, more in given.items()})


@pytest.mark.parametrize(
    "listen, arguments, host, target",
    [
        ("127.0.0.1", "", "web", "127.0.0.1:2222"),
        ("::1", "", "web", "[::1]:2222"),
        ("::ffff:127.0.0.1", "", "web", "127.0.0.1:2222"),
        ("0.0.0.0", "", "hv", None),
        ("10.0.0.5", "-o ForwardAgent=yes", "10.0.0.5", None),
        # Whoever is reached through another is so with all its ports.
        ("0.0.0.0", "-J bastion", "web", "127.0.0.1:2222"),
        ("::", "-o ProxyCommand='ssh -W %h:%p bastion'", "web", "[::1]:2222"),
        ("10.0.0.5", "-oproxyjump=bastion", "web", "10.0.0.5:2222"),
        ("0.0.0.0", "-AF bastion.conf", "web", "127.0.0.1:2222"),
    ],
)
def test_ways_to_a_forward_there(listen, arguments, host, target):
    ways = Ways(["forward"], 22, hypervisors(hv1={"ansible_host": "hv", "ansible_ssh_common_args": arguments}))
    found = ways.to("web", Found("hv1", machine(forwards=[forward(listen)])))
    assert (found["ansible_host"], found["ansible_port"]) == (host, 2222)
    inner = shlex.split(shlex.split(found.get("ansible_ssh_common_args", ""))[1].partition("=")[2]) if target else []
    assert inner[-3:] == (["-W", target, "hv"] if target else []) and ("ansible_ssh_common_args" in found) is bool(target)


def test_agents_of_hosts_that_plays_know():
    """The connection asks the hypervisor as a play knows it."""
    ways = Ways(["agent"], 22, hypervisors(["hv1", "hv2"], hv1={}, hv2={"ansible_user": "vm"}, hv3={"ansible_host": "10.0.0.3"}))
    connects = {host: ways.to("web", Found(host, machine(guest_agent=True)))["maqet_connect"] for host in ("hv1", "hv2", "hv3")}
    assert connects == {"hv1": "agent", "hv2": None, "hv3": None} and ways.unknown == {"hv2", "hv3"}
