# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""maqet_vm_info and maqet_host_info."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.maqet.qemu.tests.harness.home import qmp, task, vm

SMALL = {"memory": "64MiB"}


def named(result):
    return {item["name"]: item for item in result["vms"]}


def test_filters(home):
    web, db = home.name("web"), home.name("db")
    results = home.play(
        vm(web, state="present", labels={"role": "web", "tier": "1", "lab": "shop"}, **SMALL),
        vm(db, state="present", labels={"role": "db", "tier": "1"}, **SMALL),
        task("maqet_vm_info"),
        task("maqet_vm_info", name=[web, "nobody"]),
        task("maqet_vm_info", labels={"role": "db"}),
        task("maqet_vm_info", labels={"tier": 1}),
        task("maqet_vm_info", labels={"role": "db", "tier": "2"}),
        task("maqet_vm_info", check=True),
        task("maqet_vm_info", lab="shop"),
        task("maqet_vm_info", lab="shop", labels={"role": "db"}, brief=True),
        task("maqet_vm_info", name=[db], brief=True),
    )[2:]
    assert not any(result["changed"] or result["failed"] for result in results)
    assert [set(named(result)) for result in results] == [{web, db}, {web}, {db}, {web, db}, set(), {web, db}, {web}, set(), {db}]
    assert (results[-3]["vms"][0]["lab"], results[-1]["vms"][0]["lab"], results[-1]["vms"][0]["status"]) == ("shop", "", "stopped")


def test_nothing_is_known_and_nothing_is_made(home):
    result = home.play(task("maqet_vm_info"))
    assert result["vms"] == [] and not list(home.state.iterdir()) and not list(home.data.iterdir())


def test_declared_applied_observed(home, supervisor):
    name = home.name()
    home.started(name, supervisor=supervisor, disks=[{"name": "root", "size": "8MiB"}])
    results = home.play(
        vm(name, update="merge", memory="96MiB"),
        qmp(name, "stop"),
        task("maqet_vm_info", name=[name], events=1),
    )
    info = named(results[-1])[name]
    assert info["declared"]["memory"] == "96MiB" and info["applied"]["memory"] == "64MiB"
    assert info["pending_restart"] == ["memory"]
    assert info["status"] == info["observed"]["status"] == "paused" and info["observed"]["pid"] == home.pid(name)
    assert [event["event"] for event in info["events"]] == ["STOP"]
    assert info["drift"] == [{"path": "state", "applied": "running", "observed": "paused", "by": "host"}] and info["busy"] is None
    assert info["service"]["state"] == "active"
    facts = dict(line.split(":\t", 1) for line in Path(f"/proc/{home.pid(name)}/status").read_text().splitlines())
    assert info["process"]["seccomp"] and facts["Seccomp"] == "2"
    assert info["process"]["no_new_privileges"] == (facts["NoNewPrivs"] == "1")
    assert supervisor == "process" or facts["NoNewPrivs"] == "1"
    assert info["process"]["umask"] == facts["Umask"] == "0077"


def test_drift(home):
    name = home.name()
    home.started(name, disks=[{"name": "root", "size": "8MiB"}])
    (home.directory(name) / "root.qcow2").unlink()
    info = named(home.play(task("maqet_vm_info")))[name]
    assert info["observed"]["missing_disks"] == ["root"] and [item["path"] for item in info["drift"]] == ["disks[root]"]


def test_host(home):
    host = home.play(task("maqet_host_info"))["host"]
    assert host["qemu"]["path"].endswith("qemu-system-x86_64") and host["qemu"]["version"].count(".") == 2
    assert host["accelerators"]["tcg"]["usable"]
    assert host["accelerators"]["kvm"]["usable"] or host["accelerators"]["kvm"]["reason"]
    assert host["user_manager"]["usable"] and int(host["user_manager"]["version"]) >= 252
    assert host["tools"]["qemu-img"] and host["libraries"]["qemu.qmp"]
    assert all(problem["problem"] and problem["fix"] for problem in host["problems"])


def test_host_without_a_user_manager(home):
    empty = home.root / "run"
    empty.mkdir(mode=0o700)
    host = home.play(task("maqet_host_info"), XDG_RUNTIME_DIR=str(empty))["host"]
    assert not host["user_manager"]["usable"]
    (problem,) = [item for item in host["problems"] if "systemd" in item["problem"]]
    assert "enable-linger" in problem["fix"]


def test_host_without_that_qemu(home):
    host = home.play(task("maqet_host_info", arch="nosuch"))["host"]
    assert host["qemu"]["path"] is None and "qemu-system-nosuch" in host["problems"][0]["problem"]
