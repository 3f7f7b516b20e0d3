# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which host does what of a lab, in which turn, and the one result of all."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.plugin_utils._lab_result import Merged, refusal
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
    definition = {"lab": "x", "profiles": {"far": {"host": "hv9"}}, "vms": {"db": {}, "web": {"host": "hv2"}}}
    assert LabRun({"definition": definition}, here="localhost", hostvars=HOSTS).hosts == ["", "hv2"]
    with pytest.raises(SpecError, match=r"defaults\.host: 'hv9' is no host of the inventory"):
        LabRun({"definition": {**definition, "defaults": {"host": "hv9"}, "vms": {}}, "state": "absent"}, here="localhost", hostvars=HOSTS)


CARD = {"nics": [{"name": "lan", "network": "lan"}]}


def spans(networks, *hosts, here=None, known=None, **arguments):
    """What each host is told of the network lan in the first turn; ``known``: more of the inventory."""
    vms = {f"m{number}": {"host": host, **CARD} for number, host in enumerate(hosts)}
    lab = LabRun(
        {"definition": {"lab": "x", "vms": vms, "networks": networks}, **arguments}, here="localhost", hostvars={**HOSTS, **(known or {})}, **(here or {})
    )
    return {host: more["span"].get("x-lan", {}) for host, more in next(lab.turns()).items()}


TO_HV1 = {"hv1": {"ssh": "ann@10.0.0.1", "options": {"Port": "2222"}}}
CENTER, JOINED = {"is_center": True}, {"links": TO_HV1, "uplink": "none"}


def test_switches_are_joined_to_one_which_alone_has_an_uplink():
    assert spans({"lan": {}}, "hv1") == {"hv1": {}}
    assert spans({"lan": {"uplink": "nat"}}, "hv1", "hv2") == {"hv1": CENTER, "hv2": JOINED}
    assert spans({"lan": {}}, "localhost", "hv1", "hv2") == {"": JOINED, "hv1": CENTER, "hv2": JOINED}
    assert spans({"lan": {"driver": "mcast"}}, "hv1", "hv2") == {"hv1": {}, "hv2": {}}


def test_the_file_s_order_does_not_turn_links_round():
    """Else a host that is not visited this time would keep a link that leads back."""
    assert spans({"lan": {}}, "hv2", "hv1") == spans({"lan": {}}, "hv1", "hv2")
    only = spans({"lan": {}}, "hv2", "hv1", limit=["m0"])
    assert only == {"hv2": JOINED}


def test_links_say_which_host_is_reached_and_how():
    said = {"lan": {"links": {"localhost": {"ssh": "me@desk"}}}}
    assert spans(said, "", "hv2") == {"": CENTER, "hv2": {"links": {"localhost": {"ssh": "me@desk"}}, "uplink": "none"}}
    assert spans({"lan": {"links": {"hv2": {"ssh": "two"}}}}, "hv1", "hv2")["hv2"] == CENTER
    with pytest.raises(SpecError, match=r"networks\.lan\.links: 'hv3' is no host of this lab") as caught:
        spans({"lan": {"links": {"hv3": {"ssh": "me@far"}}}}, "hv1", "hv2")
    assert "hv2" in caught.value.hint or "hv1" in caught.value.hint


ASTRAY = [
    {"ansible_host": "127.0.0.1"},
    {"ansible_host": "LOCALHOST"},
    {"ansible_host": "::1"},
    {"ansible_become": "yes", "ansible_host": "10.0.0.9"},
    {"ansible_connection": "local"},
]


@pytest.mark.parametrize("known", ASTRAY, ids=str)
def test_ways_that_lead_others_astray_are_none(known):
    assert spans({"lan": {}}, "a", "hv1", known={"a": known}) == {"a": JOINED, "hv1": CENTER}


def test_a_text_is_no_become():
    """As an inventory in INI has it."""
    known = {"ansible_become": "false", "ansible_host": "10.0.0.9"}
    assert spans({"lan": {}}, "a", "hv1", known={"a": known})["hv1"] == {"links": {"a": {"ssh": "10.0.0.9"}}, "uplink": "none"}


def test_hosts_that_no_other_can_reach():
    here = {"here": {"ansible_connection": "local"}}
    with pytest.raises(SpecError, match=r"networks\.lan\.links: .* no address for ssh of localhost, here"):
        spans({"lan": {}}, "localhost", "here", known=here)
    with pytest.raises(SpecError, match=r"no address for ssh of hv1, hv2"):
        spans({"lan": {}}, "hv1", "hv2", here={"become": True})
    assert spans({"lan": {}}, "localhost", "hv1", known={"localhost": {}}, here={"is_local": True}) == {"": JOINED, "hv1": CENTER}
    for state in ("absent", "stopped"):
        assert spans({"lan": {}}, "localhost", "here", known=here, state=state) == {"": {}, "here": {}}


LAN = {"lan": {"subnet": "10.10.0.0/24"}}


def asked(vms, told, **arguments):
    """The addresses that each host is told, after those that hosts knew."""
    lab = run(vms, LAN, **arguments)
    questions = lab.questions()
    assert sorted(questions) == sorted(told), questions
    assert all(more["recall"] for more in questions.values())
    lab.hear(told)
    return {host: more["span"]["x-lan"]["addresses"] for host, more in next(lab.turns()).items() if "x-lan" in more["span"]}


def knows(**cards):
    return {"addresses": {"x-lan": {f"x-{name}/lan": address for name, address in cards.items()}}}


def test_one_plan_of_addresses_for_all_hosts():
    """Names whose first places are the same one: hv1 knows web-2's, hv2 is new."""
    vms = {"web": {"count": 2, "host": "hv1", **CARD}, "ci": {"host": "hv2", **CARD}}
    one, other = asked(vms, {"hv1": knows(**{"web-2": "10.10.0.203"}), "hv2": knows()}).values()
    assert one == other and one["x-web-2/lan"] == "10.10.0.203" and len(set(one.values())) == 3


def test_of_its_own_machines_a_host_knows_best():
    vms = {"a": {"host": "hv1", **CARD}, "b": {"host": "hv2", **CARD}, "c": {"host": "hv2", **CARD}}
    told = asked(vms, {"hv1": knows(a="10.10.0.5", b="10.10.0.6"), "hv2": knows(a="10.10.0.9", b="10.10.0.7", c="10.10.0.5")})["hv1"]
    assert told["x-a/lan"] == "10.10.0.5" and told["x-b/lan"] == "10.10.0.7" and told["x-c/lan"] not in ("10.10.0.5", "10.10.0.7")


def test_nobody_is_asked_where_all_is_said():
    seat = {"nics": [{"name": "lan", "network": "lan", "address": "10.10.0.9"}]}
    both = {"a": {"host": "hv1", **seat}, "b": {"host": "hv2", "nics": [{**seat["nics"][0], "address": "10.10.0.8"}]}}
    lab = run(both, LAN)
    assert lab.questions() == {} and next(lab.turns())["hv2"]["span"]["x-lan"]["addresses"] == {"x-a/lan": "10.10.0.9", "x-b/lan": "10.10.0.8"}
    alone = {"a": {"host": "hv1", **CARD}, "b": {"host": "hv2"}}
    assert run(alone, LAN).questions() == {} and run({**alone, "b": {"host": "hv2", **CARD}}, LAN, state="absent").questions() == {}


AWAY = {"unreachable": True, "msg": "no route"}


def test_a_host_that_cannot_be_asked_is_lost():
    """What it has given is known here, so others are given more."""
    lab = run({"a": {"host": "hv1", **CARD}, "b": {"host": "hv2", **CARD}}, LAN)
    lab.questions()
    lab.hear({"hv1": AWAY, "hv2": knows(a="10.10.0.77")})
    assert played(lab) == [{"hv2": ["x-b"]}]
    result = lab.result()
    assert result["failed"] and result["msg"].count("hv1 cannot be reached: no route") == 1
    assert result["vms"]["x-a"]["error"]["error"] == "UnreachableError"


def test_nobody_is_given_what_a_silent_host_may_have_given():
    vms = {"a": {"host": "hv1", **CARD}, "b": {"host": "hv2", **CARD}, "old": {"host": "hv2", **CARD}, "c": {"host": "hv2", "depends_on": "b"}}
    lab = run(vms, LAN)
    lab.questions()
    lab.hear({"hv1": AWAY, "hv2": knows(old="10.10.0.77")})
    turns = list(lab.turns())
    assert turns[0]["hv2"]["wave"] == ["x-old", "x-c"] and turns[0]["hv2"]["span"]["x-lan"]["addresses"]["x-old/lan"] == "10.10.0.77"
    assert turns[0]["hv2"]["elsewhere"]["x-b"] == "hv1 cannot say which addresses are taken on networks.lan"


def test_a_host_that_limit_leaves_out_is_not_missed():
    vms = {"a": {"host": "hv1", **CARD}, "b": {"host": "hv2", **CARD}, "alone": {"host": "hv1"}}
    assert run(vms, LAN, limit=["alone"]).questions() == {}
    lab = run(vms, LAN, limit=["a"])
    assert set(lab.questions()) == {"hv1", "hv2"}
    lab.hear({"hv1": knows(a="10.10.0.5", b="10.10.0.6"), "hv2": AWAY})
    assert played(lab) == [{"hv1": ["x-a"]}] and "failed" not in lab.result()


def test_one_answer_where_all_refuse():
    no = {"failed": True, "msg": "x: memory: 'much' is no size"}
    assert refusal({"hv1": no, "hv2": dict(no)}, ["hv2", "hv1"]) == no
    assert refusal({"hv1": no, "hv2": dict(no)}, ["hv1", "hv2", "hv3"]) is None
    for other in ({**no, "msg": "x: other"}, {"failed": True, "unreachable": True, "msg": no["msg"]}, {"changed": False}, {**no, "vms": {}}):
        assert refusal({"hv1": no, "hv2": other}, ["hv1", "hv2"]) is None


def test_what_two_turns_plan_is_told_once():
    merged = Merged("x")
    network = [{"before_header": "x-lan", "before": "", "after": "a"}, {"prepared": "actions: 1"}]
    machines = [[{"before_header": f"x-{name}", "before": "", "after": "m"}, {"prepared": "actions: 2"}] for name in ("db", "front")]
    for part in machines:
        merged.add("hv1", [], {"vms": {}, "networks": {}, "warnings": ["slow"], "diff": [*network, *part, {"prepared": "x: 2 to create\n"}]})
    assert merged.diffs == [*network, *machines[0], *machines[1]] and merged.warnings == ["slow"]
