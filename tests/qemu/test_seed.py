# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seed of a machine that was started, read by others: isoinfo, blkid, a YAML parser, /etc/hosts written by sh."""

from __future__ import annotations

import email
import os
import shutil
import subprocess

import pytest
import yaml
from ansible_collections.maqet.qemu.plugins.module_utils._spec.seed import _HOSTS
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.qemu.engine import reach, surveyed

FIRST = {
    "nics": [{"name": "lan", "address": "10.0.2.20"}, {"name": "a.long.name.of.a.card", "mac": "52:54:00:AA:BB:CC"}],
    "cloud_init": {"user_data": {"password": "geheim-1"}, "ssh_keys": ["ssh-ed25519 AAAA me"], "hosts": {"db": "10.10.0.10"}},
    "ignition": {"ignition": {"version": "3.4.0"}, "word": "geheim-2"},
    "credentials": {"word": "geheim-3"},
}


@pytest.fixture
def machine(scratch_home):
    """``reach`` of a paused machine."""
    name = scratch_home.name("my_vm")

    def go(raw=None, **policy):
        outcome = reach(scratch_home, {"name": name, "state": "paused", "supervisor": "process", "force": True, **(raw or {}), **policy})
        assert outcome.error is None, outcome.error
        return outcome

    go.name, go.folder = name, scratch_home.directory(name)
    return go


def seed_of(machine):
    (file,) = machine.folder.glob("seed-*.iso")
    return file


def read(machine, name):
    """A file of the seed by its name in Rock Ridge."""
    words = ["isoinfo", "-R", "-i", str(seed_of(machine)), "-x", f"/{name}"]
    return subprocess.run(words, capture_output=True, check=True).stdout.decode()


def meta(machine):
    return yaml.safe_load(read(machine, "meta-data"))


def test_what_is_in_it(machine):
    if not shutil.which("isoinfo"):
        pytest.skip("isoinfo is not installed")
    machine(FIRST)
    said = subprocess.run(["/usr/sbin/blkid", "-p", "-o", "export", str(seed_of(machine))], capture_output=True, text=True, check=True).stdout
    assert "LABEL=CIDATA" in said and "TYPE=iso9660" in said
    listed = subprocess.run(["isoinfo", "-J", "-f", "-i", str(seed_of(machine))], capture_output=True, text=True, check=True).stdout
    assert listed.split() == ["/meta-data", "/network-config", "/user-data", "/vendor-data"]
    found = meta(machine)
    assert found["local-hostname"] == machine.name.replace("_", "-") and found["public-keys"] == ["ssh-ed25519 AAAA me"]
    first, second = yaml.safe_load(read(machine, "network-config"))["config"]
    assert first["name"] == "lan"
    assert first["subnets"] == [{"type": "static", "address": "10.0.2.20/24", "gateway": "10.0.2.2", "dns_nameservers": ["10.0.2.3"]}]
    assert second == {"type": "physical", "name": "nicaabbcc", "mac_address": "52:54:00:aa:bb:cc", "subnets": [{"type": "dhcp4"}]}
    user, ours = email.message_from_string(read(machine, "user-data")).get_payload()
    assert yaml.safe_load(user.get_payload(decode=True)) == {"password": "geheim-1"}
    assert yaml.safe_load(ours.get_payload(decode=True))["bootcmd"][0][-1] == "10.10.0.10 db"


def test_nothing_is_told_to_others(machine):
    """Neither the command line, nor a result, nor a file that others may read."""
    done = machine(FIRST)
    changed = machine({**FIRST, "credentials": {"word": "geheim-4"}, "ignition": {"ignition": {"version": "3.4.0"}, "word": "geheim-5"}})
    assert changed.after["credentials"] == {"word": "******** (changed)"} and changed.after["ignition"] == "******** (changed)"
    shown = [done.before, done.after, done.actions, done.vm, changed.before, changed.after, changed.actions, look.command_line(changed.vm["pid"])]
    assert "geheim" not in repr(shown)
    files = [path for path in machine.folder.iterdir() if path.is_file() and b"geheim" in path.read_bytes()]
    assert len(files) >= 2 and {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_files_go_when_nothing_is_declared(machine, scratch_home):
    machine(FIRST)
    private = {path.name for path in machine.folder.iterdir() if path.suffix in (".private", ".iso")}
    assert private == {seed_of(machine).name, "ignition.private", "credential-word.private"}
    assert "geheim" not in repr(surveyed(scratch_home, machine.name))
    machine({"labels": {}}, on_restart_needed="restart", state="restarted")
    assert not [path for path in machine.folder.iterdir() if path.suffix in (".private", ".iso")]


def test_the_guest_takes_itself_for_another_when_its_first_boot_changes(machine):
    if not shutil.which("isoinfo"):
        pytest.skip("isoinfo is not installed")
    base = {"cloud_init_on_change": "reboot", **FIRST}
    machine(base)
    first, file = meta(machine)["instance-id"], seed_of(machine)
    changed = machine({**base, "cloud_init": {**FIRST["cloud_init"], "hosts": {"db": "10.10.0.11"}}})
    assert [action["action"] for action in changed.actions] == ["define", "stop", "start"] and changed.pending_restart == []
    assert meta(machine)["instance-id"] == first and seed_of(machine) != file
    machine({**base, "cloud_init": {**FIRST["cloud_init"], "user_data": {"password": "geheim-9"}}})
    assert meta(machine)["instance-id"] not in (first, "") and meta(machine)["instance-id"].startswith(changed.vm["uuid"])


def test_memory_that_was_saved_finds_the_seed_it_knows(machine):
    machine(FIRST)
    file, before = seed_of(machine), seed_of(machine).read_bytes()
    machine(state="suspended")
    changed = machine({**FIRST, "cloud_init": {}})
    assert seed_of(machine) == file and file.read_bytes() == before
    assert changed.vm["status"] == "paused" and "cloud_init.user_data" in changed.pending_restart


def test_hosts_are_written_once(tmp_path):
    """The script that cloud-init runs at each boot, on a file of ours."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    script = _HOSTS.replace("/etc/hosts", str(hosts)).replace("/etc/cloud", str(tmp_path))
    ours = "# maqet.qemu: begin\n{}\n# maqet.qemu: end\n"
    for lines, there in [(["10.0.0.1 db"], "10.0.0.1 db"), (["10.0.0.2 db", "10.0.0.3 web"], "10.0.0.2 db\n10.0.0.3 web")] * 2:
        subprocess.run(["sh", "-ec", script, "hosts", *lines], check=True)
        assert hosts.read_text() == f"127.0.0.1 localhost\n{ours.format(there)}"
    assert os.listdir(tmp_path) == ["hosts"]
