# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changed declarations: live, at the next start, never."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.tests.harness import look, wire
from ansible_collections.maqet.qemu.tests.harness.home import vm

SMALL = {"memory": "64MiB"}


def memory(home, name):
    return wire.ask(home.sockets(name) / "qmp.sock", "query-memory-size-summary")["base-memory"] >> 20


def test_defer_fail_restart(home):
    name = home.name()
    home.started(name)
    pid = home.pid(name)
    fail, defer, again, stay = home.play(vm(name, memory="96MiB", on_restart_needed="fail"), vm(name, memory="96MiB"), vm(name, memory="96MiB"), vm(name))
    assert fail["failed"] and "memory" in fail["msg"] and "on_restart_needed" in fail["hint"]
    assert defer["changed"] and defer["pending_restart"] == ["memory"]
    assert not again["changed"] and again["pending_restart"] == ["memory"]
    assert not stay["changed"] and stay["pending_restart"] == ["memory"]
    assert memory(home, name) == 64 and home.pid(name) == pid
    planned, done, after = home.play(*(vm(name, check=check, on_restart_needed="restart", force=True) for check in (True, False, False)))
    assert planned["changed"] and [item["action"] for item in planned["actions"]] == ["stop", "start"]
    assert done["changed"] and not done["pending_restart"] and not after["changed"]
    assert memory(home, name) == 96 and home.pid(name) != pid


def test_replace_and_merge(home):
    name = home.name()
    nics = [{"name": "lan"}, {"name": "dmz"}]
    home.play(vm(name, state="present", memory="64MiB", cpus=2, labels={"a": "1"}, nics=nics))
    merged, replaced = home.play(
        vm(name, state="present", update="merge", memory="96MiB", nics=[{"name": "dmz", "model": "e1000e"}]),
        vm(name, state="present", memory="96MiB"),
    )
    text = merged["diff"][0]["after"]
    assert merged["changed"] and "memory: 96MiB" in text and "e1000e" in text
    assert "cpus" not in text and "lan" not in text
    assert replaced["changed"] and merged["vm"]["labels"] == {"a": "1"} and replaced["vm"]["labels"] == {}
    home.play(vm(name))
    assert len(wire.ask(home.sockets(name) / "qmp.sock", "query-cpus-fast")) == 1


def test_diff_shows_before_and_after_in_yaml(home):
    name = home.name()
    new, changed = home.play(vm(name, state="present", **SMALL), vm(name, state="present", memory="128MiB", check=True))
    assert new["diff"][0]["before"] == "" and "memory: 64MiB" in new["diff"][0]["after"]
    assert "memory: 64MiB" in changed["diff"][0]["before"] and "memory: 128MiB" in changed["diff"][0]["after"]
    assert "store the new declaration" in changed["diff"][1]["prepared"]


def test_labels_and_protect_change_without_qemu(home):
    name = home.name()
    home.started(name)
    pid = home.pid(name)
    changed, again = home.play(*[vm(name, **SMALL, labels={"role": "db"}, protect=True)] * 2)
    assert changed["changed"] and not again["changed"]
    assert not changed["pending_restart"] and changed["vm"]["labels"] == {"role": "db"}
    assert home.pid(name) == pid
    home.play(vm(name, **SMALL))


def test_forwards_change_live(home, supervisor):
    name = home.name()

    def nics(*forwards):
        return {**SMALL, "nics": [{"name": "lan", "forwards": list(forwards)}]}

    first = home.started(name, supervisor=supervisor, **nics({"guest": 22}))
    ssh = first["forwards"][0]["host"]
    assert look.listens(ssh)
    added, again = home.play(*[vm(name, **nics({"guest": 22}, {"guest": 80}))] * 2)
    web = next(item["host"] for item in added["vm"]["forwards"] if item["guest"] == 80)
    assert added["changed"] and not added["pending_restart"] and not again["changed"]
    assert added["vm"]["pid"] == first["pid"] and added["vm"]["forwards"][0]["host"] == ssh
    assert look.listens(ssh) and look.listens(web)
    removed = home.play(vm(name, **nics({"guest": 80})))
    assert removed["changed"] and not look.listens(ssh) and look.listens(web)
    restarted = home.play(vm(name, state="restarted", force=True))
    assert restarted["vm"]["forwards"][0]["host"] == web and look.listens(web)
    stopped, started = home.play(vm(name, state="stopped", force=True), vm(name))
    assert stopped["vm"]["forwards"] == started["vm"]["forwards"] and look.listens(web)
    assert home.play(vm(name, state="absent", force=True))["changed"] and not look.listens(web)


def test_what_is_made_once_stays(home):
    name = home.name()
    wish = {**SMALL, "nics": [{"name": "lan", "forwards": [{"guest": 22}]}]}
    first = home.started(name, **wish)
    mac = macs(home, name)
    home.play(vm(name, state="stopped", force=True))
    second = home.play(vm(name, **{**wish, "cpus": 2}))["vm"]
    assert {key: first[key] for key in ("uuid", "forwards", "machine")} == {key: second[key] for key in ("uuid", "forwards", "machine")}
    assert macs(home, name) == mac
    assert wire.ask(home.sockets(name) / "qmp.sock", "query-uuid")["UUID"] == first["uuid"]


def macs(home, name):
    return wire.ask(home.sockets(name) / "qmp.sock", "qom-get", path="/machine/peripheral/nic-lan", property="mac")


def test_disks_are_made_grown_and_kept(home):
    name = home.name()
    image = home.root / "image.qcow2"
    make_image(image)
    disks = [{"name": "root", "size": "8MiB"}, {"name": "raw", "size": "4MiB", "format": "raw"}, {"name": "over", "image": str(image), "size": "32MiB"}]
    directory = home.directory(name)
    home.play(vm(name, state="present", disks=disks, **SMALL))
    assert look.disk(directory / "root.qcow2")["virtual-size"] == 8 << 20
    assert (directory / "raw.raw").stat().st_size == 4 << 20
    over = look.disk(directory / "over.qcow2")
    assert (over["virtual-size"], over["backing-filename"]) == (32 << 20, str(image))
    home.play(vm(name))
    disks[0] = {"name": "root", "size": "16MiB"}
    disks[2] = {**disks[2], "size": "64MiB"}
    pid = home.pid(name)
    planned, grown, again = home.play(*(vm(name, check=check, disks=disks, **SMALL) for check in (True, False, False)))
    assert planned["actions"] == grown["actions"] and [item["action"] for item in grown["actions"]] == ["define", "qmp", "qmp"]
    assert not grown["pending_restart"] and not again["changed"] and home.pid(name) == pid
    nodes = {node["node-name"]: node["image"]["virtual-size"] >> 20 for node in wire.ask(home.sockets(name) / "qmp.sock", "query-named-block-nodes")}
    assert (nodes["disk-root"], nodes["disk-raw"], nodes["disk-over"]) == (16, 4, 64)
    assert look.disk(directory / "root.qcow2")["virtual-size"] == 16 << 20
    home.play(vm(name, state="stopped", force=True))
    disks[1] = {**disks[1], "size": "8MiB"}
    grown = home.play(vm(name, disks=disks, **SMALL))
    assert "grow_disk" in [item["action"] for item in grown["actions"]]
    assert (directory / "raw.raw").stat().st_size == 8 << 20
    disks[0] = {"name": "root", "size": "8MiB"}
    shrink = home.play(vm(name, disks=disks, **SMALL))
    assert shrink["failed"] and "disks[root].size" in shrink["msg"]
    assert look.disk(directory / "root.qcow2")["virtual-size"] == 16 << 20


def make_image(file):
    import subprocess

    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "16M"], check=True)


@pytest.mark.parametrize("running", [True, False])
def test_removed_disks(home, running):
    """keep keeps the file, delete deletes it once QEMU has let go of it; declared again, a kept one is as it was."""
    name = home.name()
    disks = [{"name": "kept", "size": "8MiB"}, {"name": "gone", "size": "8MiB", "on_remove": "delete"}]
    directory = home.directory(name)
    state = {"state": "paused" if running else "stopped"}
    home.play(vm(name, disks=disks, **SMALL, **state))
    kept = (directory / "kept.qcow2").stat().st_ino
    removed = home.play(vm(name, **SMALL, **state))
    assert removed["changed"] and removed["pending_restart"] == (["disks[kept]", "disks[gone]"] if running else [])
    assert (directory / "gone.qcow2").exists() == running and (directory / "kept.qcow2").exists()
    home.play(vm(name, state="stopped", force=True))
    assert not (directory / "gone.qcow2").exists() and (directory / "kept.qcow2").exists()
    home.play(vm(name, disks=disks[:1], **SMALL, state="stopped"))
    assert (directory / "kept.qcow2").stat().st_ino == kept


def test_a_disk_whose_file_is_gone_is_not_made_again(home):
    name = home.name()
    disks = [{"name": "root", "size": "8MiB"}]
    home.play(vm(name, disks=disks, **SMALL, state="stopped"))
    (home.directory(name) / "root.qcow2").unlink()
    refused = home.play(vm(name, disks=disks, **SMALL))
    assert refused["failed"] and "root" in refused["msg"] and refused["hint"]
    assert not (home.directory(name) / "root.qcow2").exists() and not home.qemus(name)
