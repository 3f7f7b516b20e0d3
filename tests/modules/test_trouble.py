# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines, monitors, state and hosts in trouble."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.tests.harness import look, wire
from ansible_collections.maqet.qemu.tests.harness.engine import reach
from ansible_collections.maqet.qemu.tests.harness.home import qmp, task, vm

SMALL = {"memory": "64MiB"}
NICS = [{"name": "lan", "forwards": [{"guest": 22}, {"guest": 80}]}]


@pytest.mark.parametrize("loss", ["deleted", "torn", "emptied"])
def test_state_is_lost_while_the_machine_runs(home, supervisor, loss):
    """The machine is adopted: the same process, UUID, MAC and ports, nothing to do."""
    name = home.name()
    wish = {**SMALL, "nics": NICS}
    first = reach(home, name, raw=wish, supervisor=supervisor).vm
    mac = wire.ask(home.sockets(name) / "monitor.sock", "qom-get", path="/machine/peripheral/nic-lan", property="mac")
    database = home.state / "maqet/state.db"
    if loss == "deleted":
        shutil.rmtree(home.state / "maqet")
    else:
        database.write_bytes(b"no database " * 400 if loss == "torn" else b"")
    results = home.play(task("maqet_vm_info"), qmp(name, "query-status"), vm(name, **wish), vm(name, state="restarted", force=True), vm(name, **wish))
    assert not [result["msg"] for result in results if result["failed"]]
    info, answer, same, again, last = results
    assert [item["name"] for item in info["vms"]] == [name] and answer["result"]["status"] == "running"
    assert not same["changed"] and not last["changed"]
    for key in ("pid", "uuid", "forwards", "supervisor", "sockets"):
        assert same["vm"][key] == first[key]
    assert (again["vm"]["uuid"], again["vm"]["forwards"]) == (first["uuid"], first["forwards"])
    assert wire.ask(home.sockets(name) / "monitor.sock", "qom-get", path="/machine/peripheral/nic-lan", property="mac") == mac
    assert database.stat().st_mode & 0o777 == 0o600


def test_qemu_dies_and_systemd_brings_it_back(home):
    name = home.name()
    first = home.started(name, nics=NICS)
    look.systemctl("daemon-reload")  # as any package's update may
    os.kill(first["pid"], signal.SIGKILL)
    after, answer = home.play(vm(name, **SMALL, nics=NICS), qmp(name, "query-status"))
    assert not after["failed"] and not after["changed"]
    assert after["vm"]["pid"] == home.pid(name) != first["pid"]
    assert after["vm"]["sockets"] == first["sockets"] and answer["result"]["status"] == "running"
    assert look.unit(name)["NRestarts"] == "1" and look.starts(home.directory(name)) == 2


def test_qemu_dies_where_nothing_restarts_it(home):
    """The fallback says that it does not, and the next task starts the machine."""
    name, other = home.name(), home.name("no")
    first = home.play(vm(name, supervisor="process", **SMALL))
    assert any("is not restarted" in words for words in first["warnings"])
    home.started(other, restart_policy="no")
    for machine in (name, other):
        os.kill(home.pid(machine), signal.SIGKILL)
    time.sleep(1)
    info, after, after_other = home.play(task("maqet_vm_info"), vm(name), vm(other))
    assert [item["status"] for item in info["vms"]] == ["stopped", "stopped"]
    assert after["changed"] and after_other["changed"]
    assert home.pid(name) == after["vm"]["pid"] and home.pid(other) == after_other["vm"]["pid"]


def test_eight_playbooks_at_once(home):
    name = home.name()
    plays = [home.begin(vm(name, nics=NICS, **SMALL), task("maqet_vm_info", name=[name])) for _number in range(8)]
    results = [home.end(play)[0] for play in plays]
    assert not [result["msg"] for result in results if result["failed"]]
    assert sorted(result["changed"] for result in results) == [False] * 7 + [True]
    assert {result["vm"]["pid"] for result in results} == {home.pid(name)}
    assert look.starts(home.directory(name)) == 1


def test_a_monitor_that_comes_after_its_qemu_is_awaited(home, supervisor):
    """Who started it may have been killed that moment; nobody else's task fails for it."""
    name = home.name()
    pid = home.started(name, supervisor)["pid"]
    place = home.sockets(name) / "qmp.sock"
    place.rename(place.with_suffix(".late"))
    threading.Timer(1, lambda: place.with_suffix(".late").rename(place)).start()
    again = reach(home, name, raw={"memory": "64MiB"}, supervisor=supervisor)
    assert not again.changed and again.vm["pid"] == pid and again.vm["status"] == "running"


def test_stopped_qemu_is_unresponsive_and_holds_nobody_up(home, supervisor):
    name, other = home.name(), home.name("other")
    home.started(name, supervisor=supervisor)
    pid = home.pid(name)
    home.play(vm(other, **SMALL))
    os.kill(pid, signal.SIGSTOP)
    try:
        tasks = [vm(name, timeout=2), qmp(name, "query-status", timeout=2), vm(other), task("maqet_vm_info", timeout=2)]
        silent, unheard, fine, info = home.play(*tasks)
        assert silent["failed"] and "unresponsive" in silent["msg"] and "kill -CONT" in silent["msg"] and "force: true" in silent["hint"]
        assert unheard["failed"] and "unresponsive" in unheard["msg"]
        assert max(silent["seconds"], unheard["seconds"]) < 12
        assert not fine["failed"] and fine["seconds"] < 4
        assert {item["name"]: item["status"] for item in info["vms"]} == {name: "unresponsive", other: "running"}
        assert info["seconds"] < 5
        assert home.pid(name) == pid
    finally:
        os.kill(pid, signal.SIGCONT)
    after = home.play(vm(name))
    assert not after["changed"] and after["vm"]["status"] == "running"


def test_stopped_qemu_is_ended_by_force(home, supervisor):
    name = home.name()
    home.started(name, supervisor=supervisor)
    os.kill(home.pid(name), signal.SIGSTOP)
    result = home.play(vm(name, state="absent", force=True, timeout=2))
    assert result["changed"] and not result["failed"]
    assert not home.traces(name)


def test_another_client_holds_our_monitor(home):
    name = home.name()
    home.started(name)
    with wire.Wire(home.sockets(name) / "qmp.sock"):
        held = home.play(vm(name, timeout=2))
        assert held["failed"] and "unresponsive" in held["msg"] and "another client" in held["msg"]
    assert not home.play(vm(name))["changed"]


def test_a_task_that_works_on_the_machine_is_named(home):
    """A guest that ignores the power button keeps the first task busy."""
    name = home.name()
    home.started(name)
    first = home.begin(vm(name, state="stopped", shutdown_timeout=8))
    look.wait_until(lambda: "POWERDOWN" in look.event_names(home.directory(name)))
    waits, info = home.play(vm(name, timeout=1), task("maqet_vm_info"))
    assert waits["failed"] and "another task works on the machine: pid" in waits["msg"]
    (item,) = info["vms"]
    assert item["status"] == "busy" and item["busy"].startswith("pid") and info["seconds"] < 3
    assert home.end(first)["vm"]["status"] == "stopped"


def test_a_second_qemu_by_hand_ends_at_the_lock(home, supervisor):
    name = home.name()
    home.started(name, supervisor=supervisor)
    pid = home.pid(name)
    sockets = {path: path.stat().st_ino for path in home.sockets(name).iterdir()}
    second = subprocess.run(look.command_line(pid), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode and "lock" in second.stderr
    assert {path: path.stat().st_ino for path in home.sockets(name).iterdir()} == sockets
    assert home.pid(name) == pid and home.play(qmp(name, "query-status"))["result"]["status"] == "running"


def test_qemu_refuses_to_start(home, supervisor):
    """Its last words are in the message; of a new machine nothing is left, one that was there stays and is mended."""
    name = home.name()
    wrong = {"extra_args": ["-device", "no-such-device"], **SMALL}
    failed = home.play(vm(name, supervisor=supervisor, **wrong))
    assert failed["failed"] and "no-such-device" in failed["msg"] and failed["hint"] and not failed["changed"]
    assert not home.traces(name)
    _made, failed, info, mended = home.play(
        vm(name, supervisor=supervisor, state="present", **SMALL), vm(name, **wrong), task("maqet_vm_info"), vm(name, **SMALL)
    )
    assert failed["failed"] and "no-such-device" in failed["msg"]
    assert info["vms"][0]["status"] == "stopped"
    assert mended["changed"] and home.pid(name) == mended["vm"]["pid"]


def test_paths_full_of_traps(home, supervisor):
    traps = home.root / "a b,c $HOME %h %% ${X} 'q\" ü"
    home.data, home.state, home.cache = traps / "data", traps / "state", traps / "cache"
    name = home.name()
    wish = {**SMALL, "disks": [{"name": "root", "size": "8MiB"}]}
    first, again = home.play(vm(name, supervisor=supervisor, **wish), vm(name, **wish))
    assert not first["failed"] and not again["failed"] and not again["changed"], first
    directory = home.directory(name)
    assert home.pid(name) == first["vm"]["pid"]
    assert {"events.jsonl", "qemu.log", "serial.log", "qemu.pid", "root.qcow2", "machine.json"} <= {path.name for path in directory.iterdir()}
    assert look.starts(directory) == 1
    if supervisor == "systemd":
        os.kill(home.pid(name), signal.SIGKILL)
        assert not home.play(vm(name))["changed"] and look.starts(directory) == 2
    suspended, resumed, gone = home.play(vm(name, state="suspended"), vm(name), vm(name, state="absent", force=True))
    assert suspended["changed"] and resumed["vm"]["status"] == "running" and gone["changed"]
    assert not home.traces(name)


def test_what_is_stored_is_the_users_alone(home, supervisor):
    name = home.name()
    previous = os.umask(0)
    try:
        home.play(vm(name, supervisor=supervisor, disks=[{"name": "root", "size": "8MiB"}], **SMALL), qmp(name, "query-status"))
    finally:
        os.umask(previous)
    for folder in (home.state / "maqet", home.data / "maqet/vms" / name, home.sockets(name)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
        for path in folder.rglob("*"):
            assert path.is_dir() or not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_no_runtime_directory_of_a_login(home):
    """As from cron: the runtime directory is found, without XDG_RUNTIME_DIR and with a short PATH."""
    if not Path(f"/run/user/{os.getuid()}").samefile(home.runtime):
        pytest.skip("the user's manager is somewhere else")
    name = home.name()
    result = home.play(vm(name, **SMALL), XDG_RUNTIME_DIR="", DBUS_SESSION_BUS_ADDRESS="", PATH="/usr/bin:/bin")
    assert result["vm"]["supervisor"] == "systemd" and look.unit(name)["ActiveState"] == "active"


def test_without_a_user_manager(home):
    """``auto`` falls back and says what is lost; ``systemd`` says what to do."""
    name, other = home.name(), home.name("other")
    empty = home.root / "run"
    empty.mkdir(mode=0o700)
    try:
        fallen, refused = home.play(vm(name, **SMALL), vm(other, supervisor="systemd", **SMALL), XDG_RUNTIME_DIR=str(empty))
        assert fallen["vm"]["supervisor"] == "process" and any("not restarted" in words for words in fallen["warnings"])
        assert refused["failed"] and "enable-linger" in refused["msg"] + refused["hint"]
        assert not home.qemus(other)
    finally:
        home.play(vm(name, state="absent", force=True), XDG_RUNTIME_DIR=str(empty))
    assert not home.traces(name)
