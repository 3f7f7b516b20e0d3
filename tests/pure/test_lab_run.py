# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which host does what of a lab, in which turn, and the one result of all."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_run import LabRun

HOSTS = {
    "localhost": {"ansible_connection": "local"},
    "hv1": {"ansible_host": "10.0.0.1", "ansible_user": "ann", "ansible_port": 2222},
    "hv2": {},
}
CHAIN = {
    "db": {"host": "hv1"},
    "cache": {"host": "hv1", "depends_on": "db"},
    "web": {"host": "hv2", "count": 2, "depends_on": "cache"},
    "front": {"host": "hv1", "depends_on": "web"},
    "other": {},
}


def run(vms=None, networks=None, **arguments):
    return LabRun({"definition": {"lab": "x", "vms": vms or CHAIN, "networks": networks or {}}, **arguments}, here="localhost", hostvars=HOSTS)


def ready(names):
    return {"changed": True, "vms": {name: {"result": "created", "pending_restart": [], "skipped": None, "error": None} for name in names}, "networks": {}}


def played(lab, lost=()):
    """What each host is told in each turn, where all goes well but for hosts that cannot be reached."""
    found = []
    for turn in lab.turns():
        found.append({host: more["wave"] for host, more in turn.items()})
        ends = {host: {**ready(more["wave"]), "ends": dict.fromkeys(more["wave"], "")} for host, more in turn.items()}
        lab.add({host: {"unreachable": True, "msg": "no route"} if host in lost else ends[host] for host in turn})
    return found


TURNS = [
    ({}, [{"hv1": ["x-db", "x-cache"], "": ["x-other"]}, {"hv2": ["x-web-1", "x-web-2"]}, {"hv1": ["x-front"]}]),
    ({"state": "present"}, [{"hv1": ["x-db", "x-cache", "x-front"], "hv2": ["x-web-1", "x-web-2"], "": ["x-other"]}]),
    ({"state": "absent"}, [{"hv1": ["x-front"], "": ["x-other"]}, {"hv2": ["x-web-1", "x-web-2"]}, {"hv1": ["x-db", "x-cache"]}]),
    ({"limit": ["web-1"]}, [{"hv1": ["x-cache"]}, {"hv2": ["x-web-1"]}]),
    ({"limit": ["other"], "prune": True}, [{"": ["x-other"]}]),
]


@pytest.mark.parametrize(("arguments", "turns"), TURNS, ids=str)
def test_turns(arguments, turns):
    found = played(run(**arguments))
    assert [{host: sorted(names) for host, names in turn.items()} for turn in found] == [
        {host: sorted(names) for host, names in turn.items()} for turn in turns
    ]


def test_what_was_before_is_handed_over():
    lab = run()
    told = []
    for turn in lab.turns():
        told.append(dict(next(iter(turn.values()))["elsewhere"]))
        lab.add({host: {**ready(more["wave"]), "ends": dict.fromkeys(more["wave"], "")} for host, more in turn.items()})
    assert told == [{}, {"x-db": "", "x-cache": "", "x-other": ""}, {"x-db": "", "x-cache": "", "x-other": "", "x-web-1": "", "x-web-2": ""}]
    result = lab.result()
    assert result["summary"] == "6 created" and "failed" not in result
    assert list(result["vms"]) == ["x-db", "x-cache", "x-web-1", "x-web-2", "x-front", "x-other"]


def test_a_host_that_is_lost_has_no_more_turns():
    lab = run()
    assert [sorted(turn) for turn in played(lab, lost=("hv1",))] == [["", "hv1"], ["hv2"]]
    result = lab.result()
    assert result["failed"] and {vm["result"] for name, vm in result["vms"].items() if name in ("x-db", "x-cache", "x-front")} == {"failed"}
    assert "x-front: hv1 cannot be reached: no route" in result["msg"] and result["vms"]["x-other"]["host"] is None


def test_hosts_without_machines_are_visited_by_prune():
    vms = {"db": {}, "web": {"host": "hv2", "count": 0}}
    assert played(run(vms)) == [{"": ["x-db"]}]
    assert played(run(vms, prune=True)) == [{"": ["x-db"], "hv2": []}]
    assert run({"db": {"host": "localhost"}, "web": {}}).is_here_alone


def test_a_host_that_the_inventory_has_not():
    with pytest.raises(SpecError, match=r"vms\.db\.host: 'hv9' is no host of the inventory"):
        run({"db": {"host": "hv9"}})


def links(networks, *hosts, **arguments):
    vms = {f"m{number}": {"host": host, "nics": [{"name": "lan", "network": "lan"}]} for number, host in enumerate(hosts)}
    return {host: more["links"] for host, more in next(run(vms, networks, **arguments).turns()).items()}


def test_switches_are_joined_to_that_of_the_first_host_that_has_an_address():
    assert links({"lan": {}}, "hv1") == {"hv1": {}}
    to_hv1 = {"x-lan": {"hv1": {"ssh": "ann@10.0.0.1", "options": {"Port": "2222"}}}}
    assert links({"lan": {}}, "hv1", "hv2") == {"hv1": {}, "hv2": to_hv1}
    assert links({"lan": {}}, "localhost", "hv1", "hv2") == {"": to_hv1, "hv1": {}, "hv2": to_hv1}
    said = {"lan": {"links": {"localhost": {"ssh": "me@desk"}}}}
    assert links(said, "", "hv2") == {"": {}, "hv2": {"x-lan": {"localhost": {"ssh": "me@desk"}}}}
    assert links({"lan": {"driver": "mcast"}}, "hv1", "hv2") == {"hv1": {}, "hv2": {}}


def test_hosts_that_no_other_can_reach():
    HOSTS["here"] = {"ansible_connection": "local"}
    with pytest.raises(SpecError, match=r"networks\.lan\.links: .* no address for ssh of localhost, here"):
        links({"lan": {}}, "localhost", "here")
    assert links({"lan": {}}, "localhost", "here", state="absent") == {"": {}, "here": {}}
