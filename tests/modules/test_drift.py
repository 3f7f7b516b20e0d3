# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changed behind our back: named field by field, its repair predicted by check mode, done by the next run, and not again by the one after."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from ansible_collections.maqet.qemu.tests.harness import look, view, wire
from ansible_collections.maqet.qemu.tests.harness.home import task, vm

DISKS = [{"name": "root", "size": "8MiB", "throttle": {"iops": 100}}, {"name": "data", "size": "8MiB", "bus": "scsi"}]
RAW = {
    "memory": "64MiB",
    "max_memory": "256MiB",
    "nics": [{"name": "lan", "forwards": [{"guest": 22}]}],
    "objects": [{"id": "io", "qom-type": "iothread"}],
    "input": {"tablet": True},
    "resources": {"cpu_weight": 50},
}
MEDIA = ("a medium taken out",)
ROOT = "/machine/peripheral/disk-root/virtio-backend"
LIMITS = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops_rd", "iops_wr"), 0)
# what is done by hand: path, as applied, as observed (None where it is long), the action that repairs it
DRIFT = {
    "a disk pulled": ([("device_del", {"id": "disk-data"})], "disks[data]", ..., None, "plug"),
    "paused": ([("stop", {})], "state", "running", "paused", "qmp"),
    "a limit lifted": ([("block_set_io_throttle", {"id": ROOT, "iops": 0, **LIMITS})], "disks[root].throttle.iops", 100, None, "qmp"),
    "a medium taken out": (
        [("blockdev-open-tray", {"id": "disk-cd", "force": True}), ("blockdev-remove-medium", {"id": "disk-cd"})],
        "disks[cd].path",
        "<root>/medium.raw",
        None,
        "qmp",
    ),
    "memory added": (
        [("qom-set", {"path": "/machine/peripheral/more-memory", "property": "requested-size", "value": 64 << 20})],
        "memory",
        "64MiB",
        "128MiB",
        "qmp",
    ),
    "an object removed": ([("object-del", {"id": "io"})], "objects[io]", ..., None, "plug"),
    "the tablet pulled": ([("device_del", {"id": "tablet"})], "input.tablet", True, False, "plug"),
    "a forward removed": ("hostfwd_remove net-lan tcp:127.0.0.1:<port>", "nics[lan].forwards[tcp/22]", ..., None, "qmp"),
    "a property of the unit": ("systemctl", "resources.cpu_weight", 50, 33, "set_properties"),
    "another restart policy": ("drop-in", "restart_policy", "on-failure", "always", "set_properties"),
}


def begin(home, supervisor="systemd", **raw):
    """A machine that can be hurt in every way; its name, facts and the view of it."""
    name, medium = home.name(), home.root / "medium.raw"
    medium.write_bytes(bytes(1 << 20))
    cd = {"name": "cd", "device": "cdrom", "path": str(medium)}
    facts = home.started(name, supervisor=supervisor, **{**RAW, "disks": [*DISKS, cd], **raw})
    return name, facts, reality(home, name)


def reality(home, name):
    with wire.Wire(home.sockets(name) / "monitor.sock") as mine:
        assert not view.orphans(mine)
        seen = view.seen(mine, home.pid(name))
        return {**seen, "status": mine.ask("query-status")["status"], "forwards": view.forwards(mine)}


def hurt(home, name, how, facts):
    if how == "systemctl":
        look.systemctl("set-property", facts["unit"], "CPUWeight=33")
    elif how == "drop-in":
        folder = home.runtime / "systemd/user" / f"{facts['unit']}.d"
        folder.mkdir(parents=True)
        (folder / "by-hand.conf").write_text("[Service]\nRestart=always\n")
        look.systemctl("daemon-reload")
    else:
        with wire.Wire(home.sockets(name) / "monitor.sock") as mine:
            if isinstance(how, str):
                view.human(mine, how.replace("<port>", str(facts["forwards"][0]["host"])))
                return
            for command, arguments in how:
                assert mine.ask(command, **arguments) == {}
            gone = {arguments["id"] for command, arguments in how if command == "device_del"}
            look.wait_until(lambda: not gone & set(view.children(mine, view.PERIPHERAL)))


@pytest.mark.parametrize("case", DRIFT)
def test_drift(home, case):
    how, path, applied, observed, action = DRIFT[case]
    name, facts, before = begin(home)
    hurt(home, name, how, facts)
    info, planned, repaired, again, after = home.play(task("maqet_vm_info", name=[name]), vm(name, check=True), vm(name), vm(name), task("maqet_vm_info"))
    (entry,) = info["vms"][0]["drift"]
    assert entry["path"] == path and entry["by"] == "host", entry
    assert entry["observed"] == observed and applied in (..., entry["applied"], entry["applied"].replace(str(home.root), "<root>") if case in MEDIA else None)
    assert planned["changed"] and [item["action"] for item in planned["actions"]] == [action], planned
    assert planned["actions"] == repaired["actions"] and repaired["changed"] and not repaired["pending_restart"]
    assert not again["changed"] and after["vms"][0]["drift"] == []
    assert repaired["vm"]["pid"] == facts["pid"]
    assert reality(home, name) == before


@pytest.mark.parametrize("how", ["systemctl", "drop-in"])
def test_the_units_own_words(home, how):
    """Read back from systemd, not from us."""
    name, facts, _before = begin(home)
    hurt(home, name, how, facts)
    assert look.unit(name)["CPUWeight" if how == "systemctl" else "Restart"] == ("33" if how == "systemctl" else "always")
    home.play(vm(name))
    unit = look.unit(name)
    assert (unit["CPUWeight"], unit["Restart"]) == ("50", "on-failure")


def test_a_disk_grown_by_hand_stays_grown(home):
    """A disk never shrinks: it is named, every run warns, none changes anything."""
    name, _facts, _before = begin(home)
    wire.ask(home.sockets(name) / "monitor.sock", "block_resize", **{"node-name": "disk-root", "size": 16 << 20})
    info, first, second = home.play(task("maqet_vm_info"), vm(name), vm(name))
    (entry,) = info["vms"][0]["drift"]
    assert (entry["path"], entry["applied"], entry["observed"]) == ("disks[root].size", "8MiB", "16MiB")
    for result in (first, second):
        assert not result["failed"] and not result["changed"] and any("never shrinks" in words for words in result["warnings"])
    assert look.disk(home.directory(name) / "root.qcow2")["virtual-size"] == 16 << 20


def test_several_at_once(home, supervisor):
    name, facts, before = begin(home, supervisor)
    for case in ("a disk pulled", "paused", "a limit lifted", "a forward removed"):
        hurt(home, name, DRIFT[case][0], facts)
    info, repaired, again = home.play(task("maqet_vm_info"), vm(name), vm(name))
    assert {entry["path"] for entry in info["vms"][0]["drift"]} == {"state", "disks[data]", "disks[root].throttle.iops", "nics[lan].forwards[tcp/22]"}
    assert repaired["changed"] and not again["changed"]
    assert reality(home, name) == before


def test_started_by_hand_with_other_properties(home):
    name, facts, before = begin(home, "process")
    argv = look.command_line(facts["pid"])
    os.kill(facts["pid"], signal.SIGKILL)
    look.wait_until(lambda: not look.is_alive(facts["pid"]))
    argv[argv.index("cpus=1")] = "cpus=2"
    with (home.directory(name) / "hello.json").open() as hello:
        subprocess.run(["setsid", "--fork", *argv], stdin=hello, stdout=subprocess.DEVNULL, check=True)
    look.wait_until(lambda: home.qemus(name) and (home.sockets(name) / "monitor.sock").exists())
    pid = home.pid(name)
    info, waits, planned, repaired, again = home.play(
        task("maqet_vm_info"), vm(name), *(vm(name, check=check, on_restart_needed="restart", force=True) for check in (True, False, False))
    )
    (entry,) = [item for item in info["vms"][0]["drift"] if item["path"] == "argv"]
    assert "cpus=2" in entry["observed"] and "cpus=1" in entry["applied"]
    assert waits["pending_restart"] == ["argv"] and waits["vm"]["pid"] == pid and any("command line" in words for words in waits["warnings"])
    assert planned["changed"] and planned["vm"]["pid"] == pid
    assert [item["action"] for item in planned["actions"]] == [item["action"] for item in repaired["actions"]]
    assert repaired["changed"] and repaired["vm"]["pid"] != pid and not repaired["pending_restart"] and not again["changed"]
    assert reality(home, name) == before


def test_killed_after_live_changes(home):
    """systemd starts the old command line: what was added since is gone, what was removed is back; the next run brings all of it about."""
    name, facts, _before = begin(home)
    more = [{**DISKS[0], "size": "16MiB", "throttle": {"iops": 200}}, {"name": "new", "size": "8MiB"}]
    nics = [{"name": "lan", "forwards": [{"guest": 80}]}, {"name": "wan"}]
    wish = {**RAW, "disks": more, "nics": nics, "memory": "128MiB", "restart_policy": "always", "resources": {"cpu_weight": 70}}
    changed = home.play(vm(name, **wish))
    waits = changed["pending_restart"]
    assert changed["vm"]["pid"] == facts["pid"] and set(waits) <= {"disks[cd]"}, changed
    live = reality(home, name)
    os.kill(facts["pid"], signal.SIGKILL)
    look.wait_until(lambda: home.qemus(name) not in ([], [facts["pid"]]))
    look.wait_until((home.sockets(name) / "monitor.sock").exists)
    info, planned, repaired, again, last = home.play(task("maqet_vm_info"), vm(name, check=True), vm(name), vm(name), task("maqet_vm_info"))
    paths = {entry["path"] for entry in info["vms"][0]["drift"]}
    assert {"disks[new]", "disks[root].throttle.iops", "nics[wan]", "nics[lan].forwards[tcp/80]", "memory"} <= paths
    assert planned["changed"] and repaired["changed"] and not again["changed"]
    assert repaired["vm"]["pid"] != facts["pid"] and set(repaired["pending_restart"]) == set(waits)
    assert reality(home, name) == live
    assert last["vms"][0]["drift"] == []
    assert (look.unit(name)["Restart"], look.unit(name)["CPUWeight"]) == ("always", "70")


def test_limits_and_restart_policy_change_live(home):
    name, facts, _before = begin(home)
    resources = {"memory_max": "512MiB", "cpu_quota": "150%", "cpu_weight": 70, "io_weight": 80}
    wish = {"restart_policy": "no", "resources": resources}
    changed, again, less = home.play(
        *[vm(name, update="merge", **wish)] * 2, vm(name, update="replace", **{**RAW, "disks": DISKS, "resources": {}}, on_restart_needed="defer")
    )
    assert changed["changed"] and not again["changed"] and changed["vm"]["pid"] == facts["pid"] and not changed["pending_restart"]
    assert [item["action"] for item in changed["actions"]] == ["define", "set_properties"]
    unit = look.unit(name)
    assert less["vm"]["pid"] == facts["pid"]
    assert (unit["Restart"], unit["MemoryMax"], unit["CPUQuotaPerSecUSec"]) == ("on-failure", "infinity", "infinity")
    home.play(vm(name, update="merge", **wish))
    unit = look.unit(name)
    assert (unit["Restart"], unit["MemoryMax"], unit["CPUQuotaPerSecUSec"]) == ("no", str(512 << 20), "1.500000s")
    assert (unit["CPUWeight"], unit["IOWeight"]) == ("70", "80")
    os.kill(facts["pid"], signal.SIGKILL)
    look.wait_until(lambda: look.unit(name)["ActiveState"] in ("failed", "inactive"))
    assert not home.qemus(name)
