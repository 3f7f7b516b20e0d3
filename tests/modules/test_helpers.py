# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs beside QEMU begin and end with it, however it ends. The TPM's swtpm stands for all of them."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.tests.harness import look, wire
from ansible_collections.maqet.qemu.tests.harness.engine import reach
from ansible_collections.maqet.qemu.tests.harness.home import task, vm

TPM = {"memory": "64MiB", "tpm": True}


def swtpms(home, name):
    """Pids of the machine's swtpm: its socket is in an argument."""
    places = (f"{home.directory(name)}/tpm.sock", f"{home.sockets(name)}/tpm.sock")
    commands = {int(entry): look.command_line(entry) for entry in os.listdir("/proc") if entry.isdigit()}
    return [pid for pid, argv in commands.items() if argv and "swtpm" in argv[0] and any(place in word for place in places for word in argv)]


def units(name):
    """The machine's units with their states, those at rest left out."""
    lines = look.systemctl("list-units", "--all", "--plain", "--no-legend", f"maqet-vm-{name}*").splitlines()
    return {line.split()[0]: line.split()[2] for line in lines}


def nothing_runs(home, name):
    return not swtpms(home, name) and not home.qemus(name) and not units(name)


def test_its_helper_runs_beside_it(home, supervisor):
    """QEMU has a TPM; a second run finds nothing to do; stopped and started, it has the same state; absent leaves nothing."""
    name = home.name()
    predicted, made, again = home.play(*(vm(name, supervisor=supervisor, check=check, **TPM) for check in (True, False, False)))
    assert predicted["changed"] and made["changed"] and not again["changed"], (predicted, made, again)
    (pid,) = swtpms(home, name)
    if supervisor == "systemd":
        assert units(name) == {f"maqet-vm-{name}.service": "active", f"maqet-vm-{name}:tpm.service": "active"}
        properties = look.systemctl("show", f"maqet-vm-{name}:tpm.service").splitlines()
        assert {f"MainPID={pid}", "Slice=maqet.slice", "NoNewPrivileges=yes", "UMask=0077"} <= set(properties)
    answer = wire.ask(home.sockets(name) / "monitor.sock", "query-tpm")
    assert [item["model"] for item in answer] == ["tpm-crb"]
    state = home.directory(name) / "tpm/tpm2-00.permall"
    look.wait_until(state.exists)
    before = hashlib.sha256(state.read_bytes()).hexdigest()
    home.play(vm(name, state="stopped", force=True))
    assert nothing_runs(home, name) and hashlib.sha256(state.read_bytes()).hexdigest() == before
    started, gone = home.play(vm(name), vm(name, state="absent", force=True))
    assert started["vm"]["status"] == "running" and gone["changed"], started
    assert not home.traces(name) and not swtpms(home, name)


def quit_qemu(home, name):
    wire.ask(home.sockets(name) / "monitor.sock", "quit")


def kill_qemu(home, name):
    os.kill(home.pid(name), signal.SIGKILL)


def stop_by_task(home, name):
    reach(home, name, state="stopped", force=True)


def remove_by_task(home, name):
    reach(home, name, state="absent", force=True)


@pytest.mark.parametrize("end", [quit_qemu, kill_qemu, stop_by_task, remove_by_task])
def test_its_helper_ends_with_it(home, supervisor, end):
    name = home.name()
    reach(home, name, raw={**TPM, "restart_policy": "no"}, supervisor=supervisor)
    assert len(swtpms(home, name)) == 1
    end(home, name)
    look.wait_until(lambda: nothing_runs(home, name))


def test_systemctl_stops_both(home):
    name = home.name()
    reach(home, name, raw=TPM, shutdown_timeout=1)
    assert len(units(name)) == 2
    look.systemctl("stop", f"maqet-vm-{name}.service")
    look.wait_until(lambda: nothing_runs(home, name))
    result = home.play(vm(name))
    assert result["changed"] and len(swtpms(home, name)) == 1


def test_systemd_brings_both_back(home):
    name = home.name()
    home.started(name, **TPM)
    first, (helper,) = home.pid(name), swtpms(home, name)
    kill_qemu(home, name)
    result = home.play(vm(name))
    assert not result["failed"] and not result["changed"], result
    assert home.pid(name) != first and [*swtpms(home, name), helper] != [helper, helper]
    assert look.unit(name)["NRestarts"] == "1" and len(swtpms(home, name)) == 1


def test_its_helper_is_killed(home, supervisor):
    """The machine goes on, and says that it needs a restart; systemd's own restart after a crash is one."""
    name = home.name()
    home.started(name, supervisor=supervisor, **TPM)
    for again in (crash, restart):
        if again is crash and supervisor != "systemd":
            continue
        pid, (helper,) = home.pid(name), swtpms(home, name)
        os.kill(helper, signal.SIGKILL)
        look.wait_until(lambda: not swtpms(home, name))
        look.wait_until(lambda: home.play(vm(name))["pending_restart"] == ["tpm"])
        assert home.pid(name) == pid
        again(home, name, pid)
        assert len(swtpms(home, name)) == 1
        after = home.play(vm(name))
        assert not after["changed"] and not after["pending_restart"], after
    assert home.play(vm(name, state="stopped", force=True))["vm"]["status"] == "stopped"
    assert nothing_runs(home, name)


def crash(home, name, pid):
    kill_qemu(home, name)
    look.wait_until(lambda: home.qemus(name) not in ([], [pid]))


def restart(home, name, pid):
    result = home.play(vm(name, on_restart_needed="restart", force=True))
    assert result["changed"] and home.pid(name) != pid, result


def test_its_helper_does_not_start(home, supervisor):
    """One clear error with the helper's own words; of a new machine nothing is left, one that was there stays."""
    name = home.name()
    reach(home, name, raw=TPM, state="present", supervisor=supervisor)
    folder = home.directory(name) / "tpm"
    folder.write_text("no directory")
    failed = home.play(vm(name))
    assert failed["failed"] and "tpm" in failed["msg"] and str(folder) in failed["msg"], failed
    folder.unlink()
    folder.mkdir(mode=0o700)
    (folder / "tpm2-00.permall").mkdir()
    begun = time.monotonic()
    failed = home.play(vm(name))
    assert failed["failed"] and time.monotonic() - begun < 20
    assert nothing_runs(home, name)
    (folder / "tpm2-00.permall").rmdir()
    assert home.play(vm(name))["vm"]["status"] == "running"


def test_a_program_that_is_missing(home, supervisor):
    """Said before anything is done, in check mode too. PATH alone does not hide it, so this looks only where it is not installed."""
    if any(Path(place).exists() for place in ("/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/bin/virtiofsd", "/usr/local/bin/virtiofsd")):
        pytest.skip("virtiofsd is installed")
    name = home.name()
    shares = [{"name": "data", "path": str(home.root)}]
    for result in home.play(*(vm(name, supervisor=supervisor, check=check, memory="64MiB", shares=shares) for check in (True, False))):
        assert result["failed"] and "shares[data]" in result["msg"] and "virtiofsd" in result["msg"] and "Debian since 13" in result["hint"]
    assert not home.traces(name)


def test_paths_full_of_traps(home, supervisor):
    traps = home.root / "a b,c $HOME %h %% ${X} 'q\" ü"
    home.data = traps / "data"
    name = home.name()
    first, again = home.play(vm(name, supervisor=supervisor, **TPM), vm(name))
    assert not first["failed"] and not again["changed"], first
    assert len(swtpms(home, name)) == 1 and (home.directory(name) / "tpm/tpm2-00.permall").exists()
    home.play(vm(name, state="absent", force=True))
    assert not home.traces(name) and not swtpms(home, name)


def test_memory_and_tpm_are_suspended(home, supervisor):
    name = home.name()
    home.started(name, supervisor=supervisor, **TPM)
    suspended, resumed = home.play(vm(name, state="suspended"), vm(name))
    assert suspended["vm"]["status"] == "suspended" and resumed["vm"]["status"] == "running", (suspended, resumed)
    assert len(swtpms(home, name)) == 1


def test_many_at_once(home, supervisor):
    names = [home.name(f"m{number}") for number in range(4)]
    plays = [home.begin(vm(name, supervisor=supervisor, **TPM)) for name in names]
    assert not [result["msg"] for result in map(home.end, plays) if result["failed"]]
    assert [len(swtpms(home, name)) for name in names] == [1] * 4
    # One machine's name may begin another's.
    home.play(vm(names[0], state="absent", force=True))
    assert [len(swtpms(home, name)) for name in names] == [0, 1, 1, 1]


@pytest.mark.skipif(os.path.exists("/dev/vhost-vsock"), reason="the host has vsock")
def test_no_vsock(home):
    name = home.name()
    for result in home.play(*(vm(name, check=check, memory="64MiB", vsock=True) for check in (True, False)), task("maqet_vm_info")):
        if "vms" in result:
            assert not result["vms"]
        else:
            assert result["failed"] and "/dev/vhost-vsock" in result["msg"] and "modprobe vhost_vsock" in result["hint"]


def test_its_helper_outlives_nobody_who_is_cut_off(home):
    """Without systemd: a start that was cut off between helper and QEMU leaves a helper; the next task ends it."""
    name = home.name()
    reach(home, name, raw=TPM, state="present", supervisor="process")
    folder = home.directory(name)
    (folder / "tpm").mkdir(mode=0o700)
    place = folder / "tpm.sock"
    argv = ["swtpm", "socket", "--tpm2", "--tpmstate", "dir=tpm", "--ctrl", f"type=unixio,path={place}", "--terminate"]
    left = subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL)
    try:
        look.wait_until(place.exists)
        result = home.play(vm(name, state="absent", force=True))
        assert not result["failed"]
    finally:
        left.kill()
        left.wait()
