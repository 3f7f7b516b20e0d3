# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first boot of a real Debian, seen from inside by ssh; and what changed user data does to two of them, side by side.

One test, since each boot takes half a minute under emulation.
"""

from __future__ import annotations

import json
import subprocess

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._plan.record import Record
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.debian import find_debian
from ansible_collections.maqet.qemu.tests.harness.home import vm
from ansible_collections.maqet.qemu.tests.harness.inventory import Inventory

SECONDS = 300
SSH_OPTIONS = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes", "ConnectTimeout=60"]
CREDENTIAL = "one line\nand another, ümläut"


@pytest.fixture(scope="module")
def debian():
    found = find_debian()
    if found is None:
        pytest.skip("the Debian guest is made by root (scripts/test does it)")
    return found


class Guest:
    """A machine with the guest, and its default user's shell."""

    def __init__(self, home, debian, key, word):
        self.home, self.key, self.name = home, key, home.name(word)
        image, boot = debian
        self.base = {"memory": "512MiB", "boot": boot, "disks": [{"name": "root", "image": image}], "shutdown_timeout": 120, "timeout": 120}
        self.boots, self.port = 0, None

    def spec(self, word, **raw):
        early = [f"test -e /root/mine || echo {word}: a disk as new >/dev/ttyS0", "touch /root/mine", f"sync; echo {word}: early >/dev/ttyS0"]
        user = {"runcmd": [f"echo {word} >>/var/log/ran"], "bootcmd": ["echo mine >>/var/log/booted", *early]}
        cloud = {"user_data": user, "ssh_keys": [self.key.with_suffix(".pub").read_text()], "hosts": {"db": "10.9.9.9"}}
        nics = [{"name": "lan", "address": "10.0.2.20", "forwards": [{"guest": 22}]}]
        return {**self.base, "nics": nics, "cloud_init": cloud, **raw}

    def task(self, word, **raw):
        return vm(self.name, **self.spec(word, **raw))

    def took(self, result):
        assert not result.get("failed"), result
        self.port = result["vm"]["forwards"][0]["host"]
        return result

    def await_boot(self):
        self.boots += 1
        self.await_console("is done", self.boots)

    def await_console(self, words, count=1):
        log = self.home.directory(self.name) / "serial.log"
        look.wait_until(lambda: log.read_text(errors="replace").count(words) >= count, SECONDS)

    def sh(self, script):
        argv = ["ssh", "-i", str(self.key), "-p", str(self.port), *(f"-o{option}" for option in SSH_OPTIONS), "debian@127.0.0.1", "sudo sh -e"]
        done = subprocess.run(argv, input=script, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def guests(home, debian, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return Guest(home, debian, key, "my_reboot"), Guest(home, debian, key, "recreate")


def test_first_boots(home, guests):
    stays, anew = guests
    handed = {"ignition": {"ignition": {"version": "3.4.0"}, "filler": "x" * 5000}, "credentials": {"test.word": CREDENTIAL, "test.big": "y" * 30000}}
    results = home.play(stays.task("one", **handed), anew.task("one", cloud_init_on_change="recreate"))
    stays.took(results[0])
    # The other one has written to its disk, and is about to lose it: no need to wait for the end of its boot.
    anew.await_console("one: a disk as new")
    anew.await_console("one: early")
    assert home.play(vm(anew.name, state="paused"))["vm"]["status"] == "paused"
    stays.await_boot()
    looks_as_declared(stays)
    is_reached_by_the_inventory(stays)
    kept = stays.sh("echo kept >/root/kept; sync; cat /var/lib/cloud/data/instance-id /etc/machine-id").split()

    # By default nothing happens now, on_restart_needed or not.
    change = {"nics": [{**stays.spec("")["nics"][0], "address": "10.0.2.21"}], **handed}
    waits = home.play(*[stays.task("two", **change, on_restart_needed=policy) for policy in ("defer", "restart")])
    assert [result["pending_restart"] for result in waits] == [["nics[lan].address", "cloud_init.user_data"]] * 2
    assert [action["action"] for result in waits for action in result["actions"]] == ["define"]

    asked, remade = home.play(stays.task("two", **change, cloud_init_on_change="reboot"), anew.task("two", cloud_init_on_change="recreate", force=True))
    assert [action["action"] for action in asked["actions"]] == ["define", "stop", "start"]
    assert asked["actions"][1]["outcome"] == "the guest powered down"
    assert [action["action"] for action in remade["actions"]] == ["define", "stop", "make_disk", "start"]
    assert (stays.took(asked)["pending_restart"], remade["pending_restart"]) == ([], [])
    # It begins anew; the one that was restarted is the same machine, and has done what a first boot does once more.
    anew.await_console("two: a disk as new")
    stays.await_boot()
    *ran, instance, machine = stays.sh("cat /var/log/ran /root/kept /var/lib/cloud/data/instance-id /etc/machine-id").split()
    assert ran == ["one", "two", "kept"] and instance != kept[0] and machine == kept[1]
    assert "inet 10.0.2.21/24" in stays.sh("ip -4 address show lan")
    again = home.play(stays.task("two", **change, cloud_init_on_change="reboot"), anew.task("two", cloud_init_on_change="recreate"))
    assert [result["changed"] for result in again] == [False, False]


LOOK = """say() { echo "== $1"; shift; "$@"; }
say hostname hostname
say done cat /var/log/ran /var/log/booted
say address ip -4 address show lan
say route ip route show default
say dns cat /etc/network/interfaces.d/50-cloud-init
say hosts getent hosts db
say credential cat /run/credentials/@system/test.word
echo
say large wc -c /run/credentials/@system/test.big
modprobe qemu_fw_cfg
say ignition cat /sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config/raw
echo
say status cloud-init status
"""


def looks_as_declared(guest):
    """From inside; its host shows nothing of it."""
    seen = {name: text.strip() for name, _line, text in (part.partition("\n") for part in guest.sh(LOOK).split("== ")[1:])}
    assert seen["hostname"] == guest.name.replace("_", "-")
    assert seen["done"].split() == ["one", "mine"]
    assert "inet 10.0.2.20/24" in seen["address"] and "via 10.0.2.2 " in seen["route"] and "dns-nameservers 10.0.2.3" in seen["dns"]
    assert seen["hosts"].split() == ["10.9.9.9", "db"]
    assert seen["credential"] == CREDENTIAL
    assert seen["large"].startswith("30000 ")
    assert '"version": "3.4.0"' in seen["ignition"]
    assert seen["status"] == "status: done"
    (pid,) = guest.home.qemus(guest.name)
    assert "ümläut" not in repr(look.command_line(pid)) and "xxxxx" not in repr(look.command_line(pid))


def is_reached_by_the_inventory(guest):
    """By its forwarded port; and as a hypervisor itself, with a machine whose port is on its loopback, through it. That one's port is
    the guest's own sshd, so that nothing more is booted."""
    inner, folder = "inner", "/home/debian/.local/share/maqet/vms/inner"
    lan = {"network": "user", "mac": None, "address": None, "forwards": {"tcp/22": {"host": "22", "guest": 22, "protocol": "tcp", "listen": "127.0.0.1"}}}
    record = Record(inner, "process", folder, "/run/user/1000/maqet/inner", declared={"nics": {"lan": lan}})
    guest.sh(f"mkdir -p {folder}; echo '{json.dumps(record.dump())}' >{folder}/machine.json; chown -R debian: /home/debian")
    options = " ".join(f"-o {option}" for option in SSH_OPTIONS)
    login = {"ansible_user": "debian", "ansible_ssh_private_key_file": str(guest.key), "ansible_ssh_extra_args": options}
    own = {"compose": {name: f"'{value}'" for name, value in login.items()}}
    inventory = Inventory(guest.home)
    done = inventory.run("-i", inventory.file(**own), guest.name, "-m", "ansible.builtin.command", "-a", "hostname", program="ansible", ANSIBLE_TIMEOUT="100")
    assert done.returncode == 0 and guest.name.replace("_", "-") in done.stdout, done.stdout + done.stderr
    there = {"ansible_host": "127.0.0.1", "ansible_port": guest.port, "ansible_python_interpreter": "/usr/bin/python3", **login}
    file = inventory.file("hv.maqet.yml", hypervisors={"hv": there}, timeout=120, **own)
    done = inventory.run("-i", file, inner, "-m", "ansible.builtin.raw", "-a", "hostname; echo $SSH_CONNECTION", program="ansible", ANSIBLE_TIMEOUT="100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert guest.name.replace("_", "-") in done.stdout and "127.0.0.1 22" in done.stdout
