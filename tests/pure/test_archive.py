# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an export says, and what is made of it: whoever wrote it."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.module_utils._plan.archive import Transfer, imported_record, is_here, is_same, plan_export, unpacks
from ansible_collections.maqet.qemu.plugins.module_utils._plan.record import Record
from ansible_collections.maqet.qemu.plugins.module_utils._spec.manifest import check_manifest, files
from hypothesis import given, settings
from hypothesis import strategies as st

UUID, OTHER = "6d3b7a1e-1c57-4d6c-9d3d-1a8f5d3e9c11", "7d3b7a1e-1c57-4d6c-9d3d-1a8f5d3e9c11"
SUM, BASE = "a" * 64, "b" * 64
GOOD = {
    "schema": 1,
    "name": "web",
    "exported": "2026-01-31T12:00:00Z",
    "qemu": "7.2.22",
    "arch": "x86_64",
    "base": "include",
    "compress": False,
    "declaration": {
        "arch": "x86_64",
        "memory": "64MiB",
        "disks": [{"name": "root", "image": "debian-12"}, {"name": "data", "path": "/srv/data.raw"}],
        "nics": [{"name": "lan"}],
    },
    "order": {"disks": ["data", "root"]},
    "identity": {
        "uuid": UUID,
        "salt": "0" * 32,
        "machine": "pc-q35-7.2",
        "macs": {"lan": "52:54:00:01:02:03"},
        "formats": {"data": "raw"},
        "slots": {"disk-root": 1},
    },
    "point": {"disks[root]": [1, 2]},
    "snapshots": [],
    "bases": [{"file": f"bases/{BASE}.qcow2", "bytes": 1, "sha256": BASE, "image": "debian-12", "content": ""}],
    "disks": [
        {"file": "root.qcow2", "bytes": 2, "sha256": SUM, "name": "root", "size": None, "virtual_size": 1 << 30, "base": BASE, "path": None},
        {"file": "data.qcow2", "bytes": 3, "sha256": SUM, "name": "data", "size": 1 << 20, "virtual_size": 1 << 20, "base": None, "path": "/srv/data.raw"},
    ],
    "nvram": [],
    "tpm": [],
}


def blank():
    record = Record("web", "process", "/d/web", "/r/web")
    record.identity = {"uuid": OTHER, "salt": "f" * 32}
    return record


def record_of(manifest, **wish):
    return imported_record(Transfer("web", "/x", "imported", **wish), manifest, blank())


def test_a_machine_arrives_as_it_was():
    new = record_of(check_manifest("/x", GOOD))
    assert new.identity == {**GOOD["identity"], "ports": {}, "firmware": {}}
    assert list(new.declared["disks"]) == ["data", "root"], "in the order in which the guest has them"
    # What was a file by path is the machine's own, in the same format.
    assert new.raw["disks"][1] == {"name": "data", "size": "1MiB", "format": "raw"}
    assert [step.target for step in unpacks(new, GOOD, "/cache")] == [f"/cache/{BASE}.qcow2", "/d/web/root.qcow2", "/d/web/data.raw"]
    assert new.imported == {"uuid": UUID, "whole": False} and not new.made


def test_a_copy_is_another():
    new = record_of(GOOD, new_identity=True)
    assert new.identity["uuid"] == OTHER and new.identity["salt"] == "f" * 32
    assert new.identity["macs"]["lan"] != GOOD["identity"]["macs"]["lan"] and new.identity["slots"] == GOOD["identity"]["slots"]


def test_an_arch_that_was_left_out_is_said():
    manifest = copy.deepcopy(GOOD)
    del manifest["declaration"]["arch"]
    for arch in ("x86_64", "s390x"):
        manifest["arch"] = arch
        assert record_of(manifest).declared["arch"] == arch


@pytest.mark.parametrize(
    "old, others, new_identity, words",
    [
        (None, {}, False, False),
        ({"identity": {"uuid": UUID}}, {}, False, True),
        ({"identity": {"uuid": OTHER}}, {}, False, "another machine"),
        ({"identity": {"uuid": UUID}}, {}, True, "another machine"),
        ({"identity": {"uuid": OTHER}, "imported": {"uuid": UUID, "whole": True}}, {}, True, True),
        ({"identity": {"uuid": OTHER}, "imported": {"uuid": UUID, "whole": False}}, {}, False, False),
        (None, {"db": {"identity": {"uuid": UUID}}}, False, "the same identity"),
        (None, {"db": {"identity": {"uuid": UUID}}}, True, False),
    ],
)
def test_whether_it_is_here(old, others, new_identity, words):
    def record(facts):
        return facts and Record("web", "process", "/d", "/r", **facts)

    wish = Transfer("web", "/x", "imported", new_identity=new_identity)
    everyone = {name: record(facts) for name, facts in others.items()}
    if isinstance(words, bool):
        assert is_here(wish, GOOD, record(old), everyone) is words
        return
    with pytest.raises(MaqetError, match=words):
        is_here(wish, GOOD, record(old), everyone)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"point": {"disks[root]": [1, 3]}}, "the machine has changed since 2026"),
        ({"base": "flatten"}, "with base: include"),
        ({"identity": {**GOOD["identity"], "uuid": OTHER}}, "of the machine web"),
    ],
)
def test_another_point_is_another_export(change, words):
    now = {**GOOD, **change}
    assert not is_same(GOOD, now)
    with pytest.raises(MaqetError, match=words):
        plan_export(Transfer("web", "/x"), [], now, GOOD)
    (step,) = plan_export(Transfer("web", "/x", force=True), [], now, GOOD)
    assert step.summary() == "replace /x"
    assert plan_export(Transfer("web", "/x"), [], GOOD, GOOD) == ()


def places(value, way=()):
    """Where something else could stand."""
    yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*way, key))


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "..", "../x", "/etc/passwd", "a\n", "root", UUID, SUM, "x86_64", "tpm/..", "nvram.fd"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "file", "path", "x"]), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(way=st.sampled_from(list(places(GOOD))), odd=ODD)
def test_whatever_it_says_no_path_leads_out(way, odd):
    """One thing in it is another: it is refused in words, or all its files stay where they belong."""
    manifest = copy.deepcopy(GOOD)
    if way:
        spot = manifest
        for key in way[:-1]:
            spot = spot[key]
        spot[way[-1]] = odd
    else:
        manifest = odd
    try:
        checked = check_manifest("/x", manifest)
        new = record_of(checked)
        steps = unpacks(new, checked, "/cache")
    except MaqetError:
        return
    assert all(".." not in entry["file"].split("/") and not entry["file"].startswith("/") for entry in files(checked))
    allowed = ("/cache/", "/d/web/")
    assert all(step.target.startswith(allowed) and "/../" not in step.target for step in steps)
