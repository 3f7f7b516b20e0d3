# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done to a network, decided without one."""

from __future__ import annotations

import ipaddress
import re

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import RefusedError, StateError
from ansible_collections.maqet.qemu.plugins.module_utils._plan.network import NetworkRecord, NetworkSeen, NetworkWish, is_settled, make_network_plan
from ansible_collections.maqet.qemu.plugins.module_utils._plan.program import uplink_parts
from ansible_collections.maqet.qemu.plugins.module_utils._spec.subnet import dhcp_start, dns_of, gateway_of
from ansible_collections.maqet.qemu.tests.cases.data import load


def record(given, medium):
    wish = NetworkWish("shop-lan", **given)
    return NetworkRecord(
        "shop-lan", "process", "/d", "/r/0a1b", lab=wish.lab, declared=wish.declaration, medium=medium, addresses=dict(wish.addresses), hosts=dict(wish.hosts)
    )


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in load("networks.yml")])
def test_steps(case):
    medium, wish = case.get("medium", "vde"), NetworkWish("shop-lan", **case["wish"])
    old = record(case["was"], medium) if "was" in case else None
    new = old if wish.state == "absent" else record(case["wish"], medium)
    seen = NetworkSeen(frozenset(case.get("runs", ())), frozenset(case.get("stale", ())), users=tuple(case.get("users", ())))
    if "refused" in case:
        with pytest.raises(RefusedError) as caught:
            make_network_plan(wish, old, new, seen)
        assert [word for word in case["refused"] if word not in str(caught.value)] == []
        return
    steps = make_network_plan(wish, old, new, seen)
    assert [step.action for step in steps] == case["steps"]
    assert is_settled(wish, old, new, seen) == (not steps)
    assert all(step.summary() and isinstance(step.details(), dict) for step in steps)


def test_a_record_survives_being_written():
    whole = record({"uplink": "nat", "subnet": "10.1.0.0/24", "addresses": {"a/lan": "10.1.0.9"}}, "vde")
    assert NetworkRecord.load(whole.dump()) == whole
    assert NetworkRecord.load({**whole.dump(), "of a later release": 1}) == whole
    with pytest.raises(StateError, match="newer"):
        NetworkRecord.load({**whole.dump(), "schema": 99})


def test_every_program_names_its_sockets():
    """By that a process is known for the network's; a link's words for the other host name them there."""
    for medium in ("vde", "hub"):
        for program in record({"uplink": "nat", "subnet": "10.1.0.0/24", "links": {"hv2": {"ssh": "me@hv2"}}}, medium).programs.values():
            assert any("0a1b" in word for word in program.argv)
            assert program.is_in(["/elsewhere/x", *program.argv[1:]]) and not program.is_in(["x", "y"])


@pytest.mark.parametrize("subnet", ["10.1.0.0/24", "10.1.0.64/26", "10.1.0.0/28", "10.1.0.0/29", "10.0.0.0/8"])
def test_the_uplinks_places_are_the_subnets(subnet):
    places = [ipaddress.ip_address(place) for place in (gateway_of(subnet), dns_of(subnet), dhcp_start(subnet))]
    assert sorted(set(places)) == places and all(place in ipaddress.ip_network(subnet) for place in places)


def test_a_link_is_called_by_the_hosts_name():
    """In files and units, which take not all that an inventory does."""
    peers = ["hv2", "hv3.example.com", "../../x y", "../../x_y", "a:b@c", "größe", "x" * 80]
    programs = record({"links": {peer: {"ssh": "me@hv2"} for peer in peers}}, "vde").programs
    names = [name for name in programs if name != "switch"]
    assert {"link-hv2", "link-hv3.example.com"} < set(names) and len(set(names)) == len(peers)
    assert all(re.fullmatch(r"link-[A-Za-z0-9_.-]{1,63}", name) and programs[name].kind == "link" for name in names)


DHCP = [  # subnet, what is taken there, the first of the sixteen
    ("10.1.0.0/24", [], "10.1.0.239"),
    ("10.1.0.0/24", ["10.1.0.254", "10.1.0.2"], "10.1.0.238"),
    ("10.1.0.0/24", ["10.1.0.239", "10.1.0.2"], "10.1.0.223"),
    ("10.1.0.0/24", ["10.1.0.250", "10.1.0.240"], "10.1.0.224"),
    ("10.1.0.0/27", ["10.1.0.20", "10.1.0.2"], "10.1.0.4"),
    ("10.1.0.0/28", ["10.1.0.1", "10.1.0.2"], "10.1.0.8"),
    ("10.1.0.0/29", ["10.1.0.4", "10.1.0.2"], "10.1.0.5"),
    ("10.1.0.0/29", ["10.1.0.5", "10.1.0.4"], "10.1.0.6"),
]


@pytest.mark.parametrize(("subnet", "taken", "start"), DHCP, ids=str)
def test_dhcp_gives_nobody_the_gateways_address(subnet, taken, start):
    assert dhcp_start(subnet, *taken) == start


def test_an_uplink_answers_where_guests_are_told():
    """Also where the gateway is at the name server's usual place."""
    declared = {"subnet": "fd00::/64", "gateway": "fd00::2", "dns": "fd00::3"}
    backend = next(iter(uplink_parts(declared))).value
    assert (backend["ipv6-host"], backend["ipv6-dns"]) == ("fd00::2", "fd00::3")
    backend = next(iter(uplink_parts({"subnet": "10.1.0.0/24", "gateway": "10.1.0.254", "dns": "10.9.0.1"}))).value
    assert (backend["host"], backend["dns"], backend["dhcpstart"]) == ("10.1.0.254", "10.1.0.2", "10.1.0.238")
