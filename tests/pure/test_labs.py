# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lab files become, what is wrong with them, and which addresses their machines keep."""

from __future__ import annotations

import copy
import ipaddress
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import declare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab import allot, compile_lab, merge_definitions, neighbours
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab_check import check_lab
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab_options import LAB
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import walk
from ansible_collections.maqet.qemu.plugins.module_utils._spec.subnet import dhcp_start
from ansible_collections.maqet.qemu.tests.cases.data import load
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/schema/lab.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
PAGE = (ROOT / "docs/labs.md").read_text(encoding="utf-8")
CASES = [pytest.param(case, id=case["name"]) for case in load("labs.yml")]
FILES = sorted((ROOT / "docs/examples/labs").glob("*.yml"))
NAMES = st.lists(st.integers(0, 400).map("m{}".format), max_size=40, unique=True)
SUBNETS = st.sampled_from(["10.0.0.0/24", "10.0.0.0/26", "192.168.0.0/16", "fd00::/64"])


def definition_of(case):
    return merge_definitions(case["files"]) if "files" in case else case["given"]


def plain(value):
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("case", CASES)
def test_a_lab_becomes(case):
    definition = definition_of(case)
    before = copy.deepcopy(definition)
    check_lab(definition)
    lab = compile_lab(definition)
    assert definition == before
    assert list(lab.machines) == list(case["machines"]) or set(case["machines"]) < set(lab.machines)
    for name, wanted in case["machines"].items():
        beside, raw = wanted.pop("beside", {}), lab.machines[name].raw
        assert {key: raw.get(key) for key in wanted} == wanted
        assert plain({key: getattr(lab.machines[name], key) for key in beside}) == beside
        assert raw["labels"]["lab"] == lab.name and set(raw) & set(case.get("lacks", ())) == set()
    for name, wanted in case.get("networks", {}).items():
        assert plain({key: getattr(lab.networks[name], key) for key in wanted}) == wanted
    assert lab.addresses == case.get("addresses", lab.addresses)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["says"].split(". ")[0]) for case in load("bad_labs.yml")])
def test_a_lab_is_refused(case):
    if case.get("checked"):
        compile_lab(case["given"])
    with pytest.raises(SpecError) as caught:
        (check_lab if case.get("checked") else compile_lab)(case["given"])
    assert str(caught.value) == case["says"]


def on(subnet, names, *, addresses=(), **network):
    cards = {name: {"nics": [{"name": "lan", "network": "lan"}]} for name in names}
    for name, address in addresses:
        cards[name] = {"nics": [{"name": "lan", "network": "lan", "address": address}]}
    return compile_lab({"lab": "a", "networks": {"lan": {"subnet": subnet, **network}}, "vms": cards})


@settings(deadline=None)
@given(SUBNETS, NAMES, NAMES, st.booleans())
def test_addresses_are_kept(subnet, before, after, uplink):
    """Whoever stays keeps its address, whoever comes or goes."""
    network = {"uplink": "nat"} if uplink else {}
    old = allot(on(subnet, before, **network), {})
    new = allot(on(subnet, after, **network), old.addresses)
    kept = set(old.addresses["a-lan"]) & set(new.addresses["a-lan"])
    assert {card: new.addresses["a-lan"][card] for card in kept} == {card: old.addresses["a-lan"][card] for card in kept}
    for lab in (old, new):
        given_out = list(lab.addresses["a-lan"].values())
        assert len(set(given_out)) == len(given_out) and "" not in given_out
        assert not {lab.networks["a-lan"].gateway, lab.networks["a-lan"].dns} & set(given_out)
        assert all(ipaddress.ip_address(address) in ipaddress.ip_network(subnet) for address in given_out)


@settings(deadline=None)
@given(SUBNETS, NAMES, st.randoms())
def test_addresses_do_not_follow_the_order(subnet, names, random):
    shuffled = random.sample(names, len(names))
    assert allot(on(subnet, names), {}).addresses == allot(on(subnet, shuffled), {}).addresses


def test_what_is_allotted():
    names = ["b", "c"]
    lab = allot(
        on("10.0.0.0/24", names, addresses=[("d", "10.0.0.9")], uplink="nat"), {"a-lan": {"a-b/lan": "10.0.0.9", "a-c/lan": "10.0.0.77", "a-z/lan": "10.0.0.3"}}
    )
    assert lab.addresses["a-lan"]["a-d/lan"] == "10.0.0.9" and lab.addresses["a-lan"]["a-c/lan"] == "10.0.0.77"
    assert lab.addresses["a-lan"]["a-b/lan"] not in ("10.0.0.9", "10.0.0.77")
    assert lab.machines["a-d"].raw["nics"] == [
        {"name": "lan", "network": "switch", "switch": "a-lan", "address": "10.0.0.9/24", "gateway": "10.0.0.1", "dns": ["10.0.0.2"]}
    ]
    assert neighbours(lab)["a-lan"]["c"] == "10.0.0.77"
    other = allot(on("10.0.9.0/24", names), {"a-lan": {"a-b/lan": "10.0.0.9", "a-c/lan": "10.0.9.0"}})
    assert all(address.startswith("10.0.9.") and not address.endswith(".0") for address in other.addresses["a-lan"].values())


def test_a_subnet_can_be_full():
    lab = allot(on("10.0.0.0/29", "abcd", uplink="nat"), {})
    assert sorted(lab.addresses["a-lan"].values()) == [f"10.0.0.{number}" for number in range(3, 7)]
    assert sorted(allot(on("10.0.0.0/30", "ab"), {}).addresses["a-lan"].values()) == ["10.0.0.1", "10.0.0.2"]
    for subnet, router, other in (("10.0.0.0/30", "10.0.0.1", "10.0.0.2"), ("10.0.0.0/31", "10.0.0.0", "10.0.0.1")):
        lab = allot(on(subnet, "a", addresses=[("r", router)], gateway=router), {})
        assert lab.addresses["a-lan"] == {"a-a/lan": other, "a-r/lan": router}


@pytest.mark.parametrize(("subnet", "count"), [("10.0.0.0/24", 200), ("10.0.0.0/27", 13), ("10.0.0.0/28", 5), ("10.0.0.0/29", 1)])
def test_dhcp_has_addresses_of_its_own(subnet, count):
    """As long as there are others; those that machines have already stay theirs."""
    lab = on(subnet, [f"m{number}" for number in range(count)], uplink="nat")
    start = ipaddress.ip_address(dhcp_start(subnet))
    assert all(ipaddress.ip_address(address) < start for address in allot(lab, {}).addresses["a-lan"].values())
    before = {"a-m0/lan": str(start)}
    assert allot(lab, {"a-lan": before}).addresses["a-lan"]["a-m0/lan"] == str(start)


def test_name_servers_keep_their_addresses():
    lab = on("10.0.0.0/29", "abcde", dns=["10.0.0.3", "10.9.9.9"])
    assert "10.0.0.3" not in allot(lab, {}).addresses["a-lan"].values()
    # Unless a machine has it: by the file, or since before the file said so.
    lab = allot(on("10.0.0.0/29", "abcde", addresses=[("n", "10.0.0.3")], dns=["10.0.0.3"]), {})
    assert lab.addresses["a-lan"]["a-n/lan"] == "10.0.0.3"
    assert allot(on("10.0.0.0/29", "abc", dns=["10.0.0.3"]), {"a-lan": {"a-b/lan": "10.0.0.3"}}).addresses["a-lan"]["a-b/lan"] == "10.0.0.3"
    six = on("fd00::/125", "abcdef", dns=["fd00:0::3"])
    assert "%" not in allot(six, {"a-lan": {"a-b/lan": "fd00::4%eth0"}}).addresses["a-lan"]["a-b/lan"]
    assert "fd00::3" not in allot(six, {}).addresses["a-lan"].values()


def test_one_way_out():
    """The first card that has one has the gateway, but not the one that is it, and not where another card says one."""
    networks = {"x": {"subnet": "10.1.0.0/24", "uplink": "nat"}, "y": {"subnet": "10.2.0.0/24", "gateway": "10.2.0.5"}}
    both = [{"name": "x", "network": "x"}, {"name": "y", "network": "y"}]
    router = [{"name": "y", "network": "y", "address": "10.2.0.5"}, {"name": "x", "network": "x"}]
    own = [both[0], {**both[1], "gateway": "10.2.0.6"}]
    lab = allot(compile_lab({"lab": "a", "networks": networks, "vms": {"b": {"nics": both}, "r": {"nics": router}, "o": {"nics": own}}}), {})
    ways = {name: [card.get("gateway") for card in machine.raw["nics"]] for name, machine in lab.machines.items()}
    assert ways == {"a-b": ["10.1.0.1", None], "a-r": [None, "10.1.0.1"], "a-o": [None, "10.2.0.6"]}


def test_names_in_the_lab():
    vms = {"db": {"name": "big.example.com"}, "web": {"count": 2}}
    lab = compile_lab({"lab": "a", "networks": {"l": {"subnet": "10.0.0.0/24"}}, "defaults": {"nics": [{"name": "l", "network": "l"}]}, "vms": vms})
    assert set(neighbours(allot(lab, {}))["a-l"]) == {"db", "big.example.com", "web-1", "web-2"}


def test_a_name_is_the_keys_before_it_is_a_hostname():
    """And a guest is also known as it can call itself."""
    vms = {"old": {"name": "db"}, "db": {}, "n": {"name": "web", "count": 1}, "n-1": {}, "my_box": {}, "a_b": {}, "a-b": {"name": "the_box"}}
    lab = allot(compile_lab({"lab": "a", "networks": {"l": {"subnet": "10.0.0.0/24"}}, "defaults": {"nics": [{"name": "l", "network": "l"}]}, "vms": vms}), {})
    address = {card.partition("/")[0]: address for card, address in lab.addresses["a-l"].items()}
    named = {"old": "db", "db": "a-db", "n-1": "a-n-1", "web-1": "web-1", "my_box": "a-my_box", "my-box": "a-my_box"}
    named.update({"a_b": "a-a_b", "a-b": "the_box", "the_box": "the_box", "the-box": "the_box"})
    assert neighbours(lab)["a-l"] == {word: address[name] for word, name in named.items()}


def test_hosts_are_named_with_no_machine_too():
    """There may have been machines on them."""
    file = {"lab": "a", "defaults": {"host": "hv1"}, "profiles": {"p": {"host": "hv2"}, "q": {}}, "vms": {}}
    assert compile_lab(file).hosts == ("hv1", "hv2")
    assert compile_lab({**file, "vms": {"m": {"host": "hv3"}, "here": {"host": None}}}).hosts == ("hv3", "", "hv1", "hv2")
    assert compile_lab({"lab": "a", "vms": {}}).hosts == ()


NULLS = [
    ({"defaults": None}, "machines", {"cpus": 3, "labels": {"t": "x", "lab": "a"}}),
    ({"profiles": None, "vms": {"m": {"profile": None}}}, "machines", {"cpus": 2, "rng": False, "labels": {"t": "x", "lab": "a"}}),
    ({"profiles": {"p": None}}, "machines", {"cpus": 2, "rng": False, "labels": {"t": "x", "lab": "a"}}),
    ({"labels": {"t": None}}, "machines", {"cpus": 3, "rng": False, "labels": {"lab": "a"}}),
    ({"vms": {"m": {"labels": {"t": None}}}}, "machines", {"cpus": 3, "rng": False, "labels": {"lab": "a"}}),
    ({"vms": {"m": None}}, "machines", {"cpus": 3, "rng": False, "labels": {"t": "x", "lab": "a"}}),
    ({"networks": {"lan": None}}, "networks", ("", "none")),
    ({"networks": {"lan": {"uplink": None}}}, "networks", ("10.0.0.0/24", "none")),
    ({"networks": {"lan": {}}}, "networks", ("10.0.0.0/24", "nat")),
    ({"networks": None}, "networks", None),
]


@pytest.mark.parametrize("over", [{"vms": None}, {"vms": {"m": None}}], ids=str)
def test_null_takes_no_machine_away(over):
    """Its data would go with it, for a file whose last machine was commented out."""
    assert list(compile_lab(merge_definitions([{"lab": "a", "vms": {"m": None}}, over])).machines) == ["a-m"]


@pytest.mark.parametrize(("over", "what", "left"), NULLS, ids=str)
def test_null_takes_away_what_files_before_said(over, what, left):
    networks = {"lan": {"subnet": "10.0.0.0/24", "uplink": "nat"}}
    base = {"lab": "a", "labels": {"t": "x"}, "defaults": {"cpus": 2, "rng": False}, "profiles": {"p": {"cpus": 3}}, "networks": networks}
    lab = compile_lab(merge_definitions([{**base, "vms": {"m": {"profile": "p"}}}, over]))
    found = {"machines": {name: machine.raw for name, machine in lab.machines.items()}.get("a-m")}
    found["networks"] = {name: (network.subnet, network.uplink) for name, network in lab.networks.items()}.get("a-lan")
    assert found[what] == left
    assert merge_definitions([base, over, base])["networks"] == networks


def test_paths_are_of_the_hosts():
    """The controller merges files, and has another home."""
    merged = merge_definitions([{"lab": "a", "defaults": {"disks": [{"name": "r", "path": "~/d"}]}}, {"vms": {"m": None}}])
    assert merged["defaults"]["disks"][0]["path"] == "~/d"
    assert compile_lab(merged).machines["a-m"].raw["disks"][0]["path"] == os.path.expanduser("~/d")


def test_a_lab_as_it_is_needs_no_jsonschema():
    """Its conditions are checked all the same: a machine's record has none."""
    ready = [{"port": 22}, {"serial": "login: $"}, {"agent": True, "timeout": 5}]
    words = f"import sys; from {compile_lab.__module__} import compile_lab; compile_lab({{'lab': 'a', 'vms': {{'m': {{'ready': {ready}}}}}}})"
    place = os.pathsep.join([str(ROOT.parents[2]), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, "-c", f"{words}; assert 'jsonschema' not in sys.modules"], env={**os.environ, "PYTHONPATH": place}, check=True)


# The schema for editors.


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)
    assert {path.partition(".")[0] for path, _option in walk(LAB)} == set(SCHEMA["properties"])
    assert all(found["title"] and found["description"] for found in [*SCHEMA["$defs"].values(), *SCHEMA["properties"].values()])


@pytest.mark.parametrize("case", CASES)
def test_the_schema_takes_what_we_take(case):
    for raw in case.get("files", [case.get("given")]):
        if "as templates leave them" not in case["name"]:
            assert [error.message for error in VALIDATOR.iter_errors({"lab": "a", **raw})] == []


@pytest.mark.parametrize(
    "case",
    [case for case in load("bad_labs.yml") if case.get("schema") or (case.get("checked") and "too small" not in case["says"] and "twice" not in case["says"])],
)
def test_the_schema_refuses(case):
    assert not VALIDATOR.is_valid(case["given"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_example_files(file):
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert [error.message for error in VALIDATOR.iter_errors(raw)] == []
    check_lab(raw)
    lab = allot(compile_lab(raw), {})
    assert len(lab.machines) > 1
    for machine in lab.machines.values():
        declare({"arch": "x86_64", **machine.raw})


@pytest.mark.parametrize("text", [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "vms:" in text])
def test_the_examples_of_the_page(text):
    networks = {"networks": {"lan": {}}} if "networks:" not in text else {}
    raw = {"lab": "a", **networks, **yaml.safe_load(text)}
    assert [error.message for error in VALIDATOR.iter_errors(raw)] == []
    check_lab(raw)
    for machine in allot(compile_lab(raw), {}).machines.values():
        declare({"arch": "x86_64", **machine.raw})
