# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots: of machines in every state, looked at with qemu-img and QEMU's own words, and cut off at every boundary."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from ansible_collections.maqet.qemu.tests.harness import look, wire
from ansible_collections.maqet.qemu.tests.harness.engine import Wish, die_at, die_at_boundaries, reach, reach_all, snap
from ansible_collections.maqet.qemu.tests.harness.home import task

DISKS = [{"name": "root", "size": "4MiB"}, {"name": "data", "size": "4MiB"}]
RAW = {"memory": "32MiB", "disks": DISKS}
MORE = {**RAW, "disks": [*DISKS, {"name": "more", "size": "4MiB"}]}


def snapshot(check=False, **options):
    return task("maqet_snapshot", check=check, **options)


def files(home, name):
    return [home.directory(name) / f"{disk['name']}.qcow2" for disk in DISKS]


def io(file, command):
    done = subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, str(file)], capture_output=True, text=True, check=True)
    return done.stdout


def write(home, name, letter):
    """Fill the beginning of every disk of a stopped machine."""
    for file in files(home, name):
        io(file, f"write -P {ord(letter)} 0 64k")


def read(home, name):
    """The letters on the disks of a stopped machine."""
    return "".join(next(letter for letter in "AB" if "verification failed" not in io(file, f"read -P {ord(letter)} 0 64k")) for file in files(home, name))


def tags(home, name):
    """The snapshots in each disk, by qemu-img; both are the same, and whole."""
    root, data = ([item["name"] for item in look.disk(file).get("snapshots", [])] for file in files(home, name))
    assert root == data
    return root


def check_files(home, name):
    for file in files(home, name):
        subprocess.run(["qemu-img", "check", "-q", str(file)], check=True)
    assert not [path for path in look.listing(home.directory(name)) if path.endswith(".new")]


def status(home, name):
    """By QEMU's own word; one that was started standing still calls that otherwise."""
    word = wire.ask(home.sockets(name) / "monitor.sock", "query-status")["status"] if home.qemus(name) else "stopped"
    return "paused" if word == "prelaunch" else word


def test_check_real_idempotent_absent(home):
    name = home.name()
    home.started(name, **RAW)
    options = {"name": name, "snapshot": "first"}
    before = look.listing(home.state, home.directory(name))
    planned = home.play(snapshot(check=True, **options))
    assert planned["changed"] and planned["snapshots"][name][0]["name"] == "first" and "root, data" in planned["actions"][0]["summary"]
    after = look.listing(home.state, home.directory(name))
    assert {path: facts for path, facts in after.items() if "locks" not in path} == {path: facts for path, facts in before.items() if "locks" not in path}
    taken, again, planned, info, gone, nothing = home.play(
        snapshot(**options),
        snapshot(**options),
        snapshot(check=True, **options),
        task("maqet_vm_info", name=[name]),
        snapshot(state="absent", **options),
        snapshot(state="absent", **options),
    )
    assert taken["changed"] and not again["changed"] and not planned["changed"] and gone["changed"] and not nothing["changed"]
    assert "first" in str(taken["diff"]) and "not frozen: no guest agent" in taken["actions"][0]["outcome"]
    (entry,) = info["vms"][0]["snapshots"]
    assert (entry["name"], entry["ram"], entry["complete"], entry["disks"], entry["status"]) == ("first", False, True, ["data", "root"], "running")
    assert gone["snapshots"] == {name: []} and tags(home, name) == [] and not (home.directory(name) / "snapshots").exists()
    assert status(home, name) == "running"
    none, unknown = home.play(snapshot(name=home.name("none"), snapshot="first"), snapshot(name=name, snapshot="first", state="restored"))
    assert none["failed"] and "there is no machine" in none["msg"] and unknown["failed"] and "there is no 'first'" in unknown["msg"]
    refused(home, "no machine has the label", lab="none")
    refused(home, "is no label", name, "7")
    refused(home, "is no label", name, "a b")
    refused(home, "needs a prefix", name, keep=2)
    refused(home, "does not begin", name, keep=2, prefix="daily-")
    refused(home, "does not go with ram", name, ram=True, quiesce="yes")
    refused(home, "cannot be frozen: no guest agent", name, quiesce="yes")
    assert tags(home, name) == [] and status(home, name) == "running"


@pytest.mark.parametrize(("supervisor", "ram"), [("process", False), ("systemd", True)])
def test_every_state_there_and_back(home, supervisor, ram):
    """Taken running, paused and stopped; restored from each other state."""
    name = home.name()
    reach(home, name, raw=RAW, state="stopped", supervisor=supervisor)
    write(home, name, "A")
    snap(home, name, "stopped", ram=ram)
    reach(home, name, state="paused")
    snap(home, name, "paused", ram=ram)
    reach(home, name)
    snap(home, name, "running", ram=ram)
    assert tags(home, name) == ["stopped", "paused", "running"]
    assert {(home.directory(name) / "snapshots" / label / "memory").exists() for label in ("paused", "running")} == {ram}
    for label in ("paused", "stopped", "running"):
        for now in ("running", "paused", "stopped"):
            reach(home, name, state="stopped", force=True)
            write(home, name, "B")
            reach(home, name, state={"running": "started"}.get(now, now))
            pids = home.qemus(name)
            done = snap(home, name, label, state="restored")
            assert done.changed and status(home, name) == (label if ram else now)
            if ram and label != "stopped" and now != "stopped":
                assert home.qemus(name) == pids, "a QEMU that is just as it was takes its memory back itself"
            assert not reach(home, name, state="present").changed
            reach(home, name, state="stopped", force=True)
            assert read(home, name) == "AA"
    for label in ("stopped", "paused", "running"):
        snap(home, name, label, state="absent")
    assert tags(home, name) == []
    check_files(home, name)


def test_keep_counts_a_prefix(home):
    name = home.name()
    home.started(name, **RAW)
    snap(home, name, "other")
    for number in "abc":
        snap(home, name, f"day-{number}", prefix="day-", keep=2)
    assert tags(home, name) == ["other", "day-b", "day-c"]
    assert not snap(home, name, "day-b", prefix="day-", keep=2).changed
    fewer = snap(home, name, "day-b", prefix="day-", keep=1)
    assert fewer.changed and tags(home, name) == ["other", "day-b"]


def test_what_changed_since(home):
    """Disks that grew, came and went; hardware that is another."""
    name = home.name()
    home.started(name, "process", **RAW)
    snap(home, name, "ram", ram=True)
    snap(home, name, "disks")
    grown = {**MORE, "disks": [{"name": "root", "size": "8MiB"}, *MORE["disks"][1:]]}
    reach(home, name, raw=grown)
    assert look.disk(files(home, name)[0])["virtual-size"] == 8 << 20
    done = snap(home, name, "disks", state="restored")
    assert "disk more has come since" in done.warnings[0] and look.disk(files(home, name)[0])["virtual-size"] == 4 << 20
    assert [change["summary"] for change in reach(home, name).actions] == ["disks[root].size: 4MiB → 8MiB"]
    snap(home, name, "wide", ram=True)
    snap(home, name, "ram", state="restored")
    back = wire.ask(home.sockets(name) / "monitor.sock", "query-block")
    assert len([item for item in back if item["qdev"].startswith("/machine/peripheral/disk-")]) == 2, "it is the machine that it was"
    assert reach(home, name).changed and not reach(home, name).changed
    snap(home, name, "wide", state="restored")
    assert status(home, name) == "running" and not reach(home, name).changed
    reach(home, name, raw={**grown, "disks": grown["disks"][:1]}, state="stopped", force=True)
    (home.directory(name) / "data.qcow2").unlink()
    refused(home, "the file of disk 'data' is gone", name, "disks", state="restored")
    reach(home, name, raw=grown)
    refused(home, "was made anew since", name, "ram", state="restored")
    assert status(home, name) == "running" and snap(home, name, "ram", state="absent").changed


def refused(home, words, *machine, **wish):
    with pytest.raises(Exception, match=words):
        snap(home, *machine, **wish)


def test_refusals(home, tmp_path):
    name, outside = home.name(), tmp_path / "outside.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(outside), "1M"], check=True)
    path = {"name": "path", "path": str(outside)}
    reach(home, name, raw={**RAW, "disks": [*DISKS, {"name": "bare", "size": "1MiB", "format": "raw"}]}, state="stopped")
    refused(home, r"disks\[bare\] is raw", name)
    reach(home, name, raw={**RAW, "disks": [*DISKS, path]})
    snap(home, name)
    refused(home, "is there without memory", name, ram=True)
    assert [item["name"] for item in look.disk(outside)["snapshots"]] == ["point"], "a disk by path is part of it"
    monitor = home.sockets(name) / "monitor.sock"
    wire.ask(monitor, "drive-backup", **{"job-id": "copy", "device": "disk-root", "target": f"{tmp_path}/copy", "sync": "full", "speed": 1})
    refused(home, r"a block job works on the machine's disks: copy \(backup", name, "other")
    wire.ask(monitor, "block-job-cancel", device="copy", force=True)
    look.wait_until(lambda: not wire.ask(monitor, "query-jobs"))
    wire.ask(monitor, "blockdev-snapshot-internal-sync", device="disk-data", name="mine")
    refused(home, r"disks\[data\] has a snapshot 'mine' that is none of ours", name, "mine")
    reach(home, name, state="suspended")
    refused(home, "the machine is suspended", name, "other")
    assert [item["name"] for item in look.disk(files(home, name)[1])["snapshots"]] == ["point", "mine"]
    snap(home, name, state="restored")
    assert status(home, name) == "stopped" and not (home.directory(name) / "suspended.memory").exists()
    reach(home, name, state="absent")
    assert not look.disk(outside).get("snapshots"), "nothing of ours is left in a file that is not ours"


def test_memory_of_a_newer_qemu_is_kept(home):
    """It says why before anything is started."""
    name = home.name()
    home.started(name, "process", **RAW)
    snap(home, name, ram=True)
    reach(home, name, state="suspended")
    for file in (home.directory(name) / "machine.json",):
        file.write_text(file.read_text().replace('"qemu": "', '"qemu": "9'))
    (home.state / "maqet/state.db").unlink()
    with pytest.raises(Exception, match=r"saved by QEMU 9.*an older one"):
        reach(home, name)
    refused(home, "saved by QEMU 9.*an older one", name, state="restored")
    assert look.starts(home.directory(name)) == 1 and (home.directory(name) / "suspended.memory").exists()
    reach(home, name, state="restarted", force=True)
    assert status(home, name) == "running"


def test_a_lab_all_or_none(home):
    names = [home.name(word) for word in "abc"]
    reach_all(home, [Wish(name, {**RAW, "labels": {"lab": home.mark}}, supervisor="process") for name in names])
    assert snap(home, lab=home.mark, label="one").changed
    assert [tags(home, name) for name in names] == [["one"]] * 3
    wire.ask(home.sockets(names[2]) / "monitor.sock", "blockdev-snapshot-internal-sync", device="disk-data", name="two")
    with pytest.raises(Exception, match=f"{names[2]}: .*none of ours"):
        snap(home, lab=home.mark, label="two")

    def in_between(moment):
        if moment == "stopped":  # after all was looked at, as another process may
            wire.ask(home.sockets(names[1]) / "monitor.sock", "blockdev-snapshot-internal-sync", device="disk-root", name="three")

    with pytest.raises(Exception, match=f"{names[1]}: .*already exists"):
        snap(home, lab=home.mark, label="three", witness=in_between)
    assert [tags(home, names[0]), status(home, names[0]), status(home, names[2])] == [["one"], "running", "running"]
    assert "three" not in [item["name"] for item in look.disk(files(home, names[2])[1])["snapshots"]]
    assert snap(home, lab=home.mark, label="one", state="restored").changed
    assert [status(home, name) for name in names] == ["running"] * 3


def test_a_lab_cut_off_is_of_one_point_again(home):
    names = [home.name(word) for word in "ab"]
    reach_all(home, [Wish(name, {**RAW, "labels": {"lab": home.mark}}, supervisor="process") for name in names])
    moments = []
    snap(home, lab=home.mark, witness=moments.append)
    for number in range(len(moments)):
        snap(home, lab=home.mark, state="absent")
        die_at(home, "", number, {"lab": home.mark}, snap)
        snap(home, lab=home.mark)
        assert not snap(home, lab=home.mark).changed
        records = [json.loads((home.directory(name) / "machine.json").read_text())["snapshots"]["point"] for name in names]
        assert records[0]["point"] == records[1]["point"] and all(record["complete"] for record in records)
        assert [status(home, name) for name in names] == ["running"] * 2 and [tags(home, name) for name in names] == [["point"]] * 2
    snap(home, names[0], state="absent")
    with pytest.raises(Exception, match=f"{names[0]} cannot be at that point any more"):
        snap(home, lab=home.mark)
    snap(home, names[0])
    assert "not of one point in time" in snap(home, lab=home.mark, state="restored").warnings[0]


def test_a_half_restore_of_what_is_lost(home):
    """While it can be finished it is not given up; when it cannot be, the snapshot can be removed and the disk be made anew."""
    whole, name, moments = home.name("whole"), home.name(), []
    prepare(home, [whole, name], ["take", "B", "stop"])
    snap(home, whole, witness=moments.append, state="restored")
    die_at(home, name, moments.index("disk put back"), {"state": "restored"}, snap)
    refused(home, "half put back", name, state="absent")
    files(home, name)[0].unlink()
    refused(home, "is gone", name, state="restored")
    snap(home, name, state="absent")
    assert reach(home, name, recreate=("root",)).vm["status"] == "running"


# what was before; the wish that is cut off
CUTS = {
    "disks": ([], {}),
    "ram": ([], {"ram": True}),
    "stopped": (["stop"], {}),
    "remove": (["take ram"], {"state": "absent"}),
    "restore": (["take", "B"], {"state": "restored"}),
    "restore ram inside": (["take ram", "B"], {"state": "restored"}),
    "restore ram": (["take ram", "B", "more", "stop"], {"state": "restored"}),
}


@pytest.mark.parametrize("cut", CUTS)
def test_killed_at_every_boundary(home, cut):
    before, wish = CUTS[cut]
    first = home.name("whole")
    prepare(home, [first], before)
    moments = []
    snap(home, first, witness=moments.append, **wish)
    names = [home.name(f"at{number}-{moment.replace(' ', '-')}") for number, moment in enumerate(moments)]
    prepare(home, names, before)
    die_at_boundaries(home, names, wish, snap)
    running = "stop" not in before or "B" in before
    for number, name in enumerate(names):
        if number % 2 and running:
            outcome = reach(home, name)  # a machine's task finds it half done
            assert outcome.vm["status"] == "running" and not reach(home, name).changed
        snap(home, name, **wish)
        assert status(home, name) == ("running" if running else "stopped"), name
        assert tags(home, name) == ([] if wish.get("state") == "absent" else ["point"]), name
        if wish.get("state") != "restored":
            assert not snap(home, name, **wish).changed
    reach_all(home, [Wish(name, state="stopped", force=True) for name in names])
    for name in names:
        check_files(home, name)
        assert read(home, name) == "AA" or "B" not in before
        assert wish.get("state") != "absent" or not (home.directory(name) / "snapshots").exists()


def prepare(home, names, before):
    reach_all(home, [Wish(name, RAW, state="stopped", supervisor="process") for name in names])
    for name in names:
        write(home, name, "A")
    if before != ["stop"]:
        reach_all(home, [Wish(name) for name in names])
    for name in names:
        if before[:1] and before[0].startswith("take"):
            snap(home, name, ram="ram" in before[0])
    if "B" in before or "stop" in before:
        reach_all(home, [Wish(name, state="stopped", force=True) for name in names])
    if "B" in before:
        for name in names:
            write(home, name, "B")
        state = "stopped" if "stop" in before else "started"
        reach_all(home, [Wish(name, MORE if "more" in before else None, state=state) for name in names])


FULL = """
import subprocess, sys
from ansible_collections.maqet.qemu.tests.harness.home import Home
from ansible_collections.maqet.qemu.tests.modules.test_snapshots import *

subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "small", sys.argv[1]], check=True)
home = Home(sys.argv[1])
name = home.name()
filler = home.data / "filler"
home.started(name, "process", **RAW)

def fill(moment):
    if moment == "stopped":  # there was room when it was looked at
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4K"], stderr=subprocess.DEVNULL)

try:
    for ram in (True, False):
        refused(home, "No space left", name, ram=ram, witness=fill)
        assert status(home, name) == "running" and tags(home, name) == [], "the guest goes on, there is no half snapshot"
        assert not (home.directory(name) / "snapshots/point/memory").exists()
        subprocess.run(["truncate", "--size=-512K", str(filler)], check=True)
        refused(home, "not enough space in .* MiB are free", name, "other", ram=ram)
        filler.unlink()
    assert snap(home, name).changed and snap(home, name, "ram", ram=True).changed and tags(home, name) == ["point", "ram"]
    snap(home, name, "ram", state="restored")
    assert reach(home, name).vm["status"] == "running"
    reach(home, name, state="stopped", force=True)
    for file in files(home, name):  # 3: QEMU has leaked clusters, and lost none
        assert subprocess.run(["qemu-img", "check", "-q", str(file)]).returncode in (0, 3)
finally:
    subprocess.run(["kill", "-9", *map(str, home.qemus(name))], check=False)
print("well")
"""


def test_a_full_disk_leaves_no_half_snapshot(tmp_path):
    """In a small file system of our own: error, the guest goes on, nothing is left."""
    argv = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout.endswith("well\n"), done.stdout + done.stderr
