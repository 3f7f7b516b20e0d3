# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines as hosts: what they are called and how they are reached, whatever a hypervisor says."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.plugin_utils._machines import WAYS, Found, Naming, Ways, entitle, groups, is_sound


def machine(name="web", **facts):
    return {"name": name, "status": "running", **facts}


def forward(listen="127.0.0.1", host=2222, guest=22, protocol="tcp"):
    return {"listen": listen, "host": host, "guest": guest, "protocol": protocol, "nic": "lan"}


def titles(found, prefix="auto", separator=".", taken=()):
    named, warnings = entitle([Found(hypervisor, machine(name)) for hypervisor, name in found], Naming(prefix, separator, frozenset(taken)))
    return {title: (item.hypervisor, item.machine["name"]) for title, item in named.items()}, warnings


def test_names():
    assert titles([("a", "web"), ("b", "db")]) == ({"web": ("a", "web"), "db": ("b", "db")}, [])
    named, warnings = titles([("a", "web"), ("b", "web"), ("b", "db")])
    assert set(named) == {"a.web", "b.web", "db"} and warnings == ["'web' is the name of more than one host: here a.web, b.web"]
    assert set(titles([("a", "hv")], taken=["hv"])[0]) == {"a.hv"}
    assert titles([("a", "web")], prefix="always", separator="-") == ({"a-web": ("a", "web")}, [])


@pytest.mark.parametrize(
    "found, options",
    [
        ([("a", "web"), ("b", "web")], {"prefix": "never"}),
        ([("a", "web"), ("b", "web"), ("b", "a.web")], {}),
        ([("a", "web")], {"prefix": "always", "taken": ["a.web"]}),
        ([("a", "b-web"), ("a-b", "web")], {"prefix": "always", "separator": "-"}),
    ],
)
def test_two_are_never_one(found, options):
    with pytest.raises(SpecError):
        titles(found, **options)


@pytest.mark.parametrize("said", [None, {}, {"name": ""}, {"name": "a b"}, {"name": "-oProxyCommand=x"}, {"name": "a\n"}, {"name": 1}, ["name"]])
def test_what_is_no_machine(said):
    assert not is_sound(said)


def test_groups():
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
