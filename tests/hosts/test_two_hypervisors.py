# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two real hypervisors over ssh, Debian 12 and 13: prepared by the role, then one lab on both, with one segment between its guests."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.home import task
from ansible_collections.maqet.qemu.tests.harness.inventory import Inventory
from ansible_collections.maqet.qemu.tests.harness.lab import kinds, lab

PLACE = "/home/ann/guest"
SECONDS = 300


class Site:
    """:param known: the inventory."""

    def __init__(self, home, boot, hypervisors):
        self.home, (self.file, self.known) = home, hypervisors
        self.settings = {"ANSIBLE_INVENTORY": self.file, "ANSIBLE_PIPELINING": "true"}
        self.boot = {**boot, "kernel": f"{PLACE}/kernel", "initrd": f"{PLACE}/initrd"}
        self.local = boot

    def play(self, hosts, *tasks, roles=(), **more):
        """The tasks' results, by the names of the hosts."""
        book = [{"hosts": hosts, "gather_facts": bool(roles), "roles": [*roles], "tasks": list(tasks), **more}]
        output, errors = self.home.begin_book(book, **self.settings).communicate(timeout=SECONDS)
        results = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        wrong = [(result["play_host"], result.get("msg"), result.get("stderr")) for result in results if result["failed"]]
        assert results and not wrong, f"{wrong} {errors[-2000:]}"
        return results

    def ask(self, host, words):
        """What a shell there says, without Ansible."""
        known, port = self.known["vars"], self.known["hosts"][host]["ansible_port"]
        options = shlex.split(known["ansible_ssh_common_args"])
        argv = ["ssh", *options, "-i", known["ansible_ssh_private_key_file"], "-p", str(port), f"{known['ansible_user']}@127.0.0.1", words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240).stdout

    def pids(self, host):
        return sorted(self.ask(host, "pgrep -f 'qemu-system.*guest='").split())


@pytest.fixture
def site(home, boot, hypervisors):
    return Site(home, boot, hypervisors)


PYTHON = {"vars": {"ansible_python_interpreter": "{{ hostvars[inventory_hostname].host_python | default('/home/ann/.local/share/maqet/python/bin/python') }}"}}


def prepare(site):
    """By the role, twice; then the guest's files, and a way for ann of hv2 to hv1."""
    first, again = (site.play("hv1:hv2", roles=["maqet.qemu.host"]) for _time in range(2))
    assert any(result.get("changed") for result in first) and not [result for result in again if result.get("changed")]
    files = [task("ansible.builtin.copy", src=site.local[part], dest=f"{PLACE}/{part}", mode="0600") for part in ("kernel", "initrd")]
    site.play("hv1:hv2", task("ansible.builtin.file", path=PLACE, state="directory", mode="0700"), *files)
    port = site.known["hosts"]["hv1"]["ansible_port"]
    site.ask("hv2", "ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519")
    public = site.ask("hv2", "cat ~/.ssh/id_ed25519.pub").strip()
    site.ask("hv1", f"echo {shlex.quote(public)} >>~/.ssh/authorized_keys")
    site.ask("hv2", f"ssh-keyscan -t ed25519 -p {port} 127.0.0.1 >~/.ssh/known_hosts 2>/dev/null")


def lab_of(site, name):
    port = site.known["hosts"]["hv1"]["ansible_port"]
    return {
        "lab": name,
        "defaults": {"memory": "128MiB", "boot": site.boot, "guest_agent": False, "nics": [{"name": "lan", "network": "lan"}], "ready_timeout": 120},
        "networks": {"lan": {"subnet": "10.60.0.0/24", "uplink": "nat", "links": {"hv1": {"ssh": f"ssh://ann@127.0.0.1:{port}"}}}},
        "vms": {
            "left": {"host": "hv1", "ready": [{"serial": "guest ready"}]},
            "right": {"host": "hv2", "depends_on": "left", "ready": [{"serial": "guest ready"}]},
        },
    }


def typed(name, words, expect):
    """A task that has a guest's shell do something."""
    steps = [{"send": f"{words}; echo that was =$?=\n"}, {"expect": f"that was ={expect}="}]
    return {**task("maqet_console", name=name, steps=steps, timeout=240), **PYTHON}


def test_a_lab_on_two_hypervisors(site):
    prepare(site)
    name = site.home.name("lab")
    definition = lab_of(site, name)
    brought = {**lab(definition, prune=True), **PYTHON}
    planned = {**lab(definition, prune=True, check=True), **PYTHON}
    plan, done, again = site.play("localhost", planned, brought, brought, connection="local", strategy="linear")
    assert plan["summary"].startswith("2 to create"), plan
    assert done["summary"].startswith("2 created") and again["summary"].startswith("2 unchanged") and not again["changed"], (done, again)
    (left,), (right,) = (vm["addresses"] for vm in done["vms"].values())
    see_the_segment(site, name, left, right)
    see_the_inventory(site, name)
    see_a_reboot(site, name, brought, left, right)
    gone = site.play("localhost", {**lab(definition, state="absent", force=True), **PYTHON}, connection="local")[0]
    assert gone["summary"].startswith("2 removed"), gone
    for host in ("hv1", "hv2"):
        assert not site.ask(host, "ls -A ~/.local/share/maqet/vms ~/.local/share/maqet/networks | grep -v ^/").strip()
        assert not site.ask(host, "systemctl --user list-units --plain --no-legend 'maqet-*.service'").strip()
        assert not site.pids(host)


def set_up(site, name, left, right):
    for host, machine, address in (("hv1", f"{name}-left", left), ("hv2", f"{name}-right", right)):
        site.play(host, typed(machine, f"ifconfig eth0 {address} netmask 255.255.255.0", 0))


def pings(site, name, other):
    """Whether it does: the guest says 0 then, and else 1."""
    (result,) = site.play("hv1", typed(f"{name}-left", f"ping -c 2 -w 20 {other} >/dev/null", r"\d"))
    return "that was =0=" in json.dumps(result)


def see_the_segment(site, name, left, right):
    """Frames of one guest reach the other through ssh; the way outside is hv1's alone."""
    set_up(site, name, left, right)
    assert pings(site, name, right)
    units = {host: site.ask(host, "systemctl --user list-units --plain --no-legend 'maqet-net-*'") for host in ("hv1", "hv2")}
    assert ":uplink.service" in units["hv1"] and ":link-" not in units["hv1"]
    assert ":link-hv1.service" in units["hv2"] and ":uplink" not in units["hv2"]


def see_the_inventory(site, name):
    groups, hosts = Inventory(site.home).read(site.file, hypervisors=["hv1", "hv2"])
    machines = {f"{name}-left": "hv1", f"{name}-right": "hv2"}
    assert groups[f"lab_{name}".replace("-", "_")] == set(machines)
    assert {machine: hosts[machine]["maqet_hypervisor"] for machine in machines} == machines


def see_a_reboot(site, name, brought, left, right):
    """hv1 goes and comes: its guest was asked to power down, hv2's goes on, and one run joins them again."""
    before = site.pids("hv2")
    site.play("hv1", {**task("ansible.builtin.reboot", reboot_timeout=120), "become": True})
    assert not site.pids("hv1")
    assert "power button" in site.ask("hv1", f"cat ~/.local/share/maqet/vms/{name}-left/serial.log")
    done = site.play("localhost", brought, connection="local")[0]
    assert kinds(done) == {f"{name}-left": "started", f"{name}-right": "unchanged"}, done
    assert site.pids("hv2") == before and len(site.pids("hv1")) == 1
    set_up(site, name, left, right)
    look.wait_until(lambda: pings(site, name, right), 60)
