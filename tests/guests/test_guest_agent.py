# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks in a Debian that has no network, through its agent. All tests share its one boot, and run in their order here."""

from __future__ import annotations

import hashlib
import os
import shutil

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MachineError
from ansible_collections.maqet.qemu.plugins.plugin_utils._guest import Guest
from ansible_collections.maqet.qemu.plugins.plugin_utils._guest_session import Session
from ansible_collections.maqet.qemu.plugins.plugin_utils._guest_way import Here
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.debian import find_debian
from ansible_collections.maqet.qemu.tests.harness.home import Home, vm
from ansible_collections.maqet.qemu.tests.harness.inside import Inside, connection_target, through
from ansible_collections.maqet.qemu.tests.harness.sshd import Sshd, find_sshd

SECONDS = 300
MIB = 1 << 20
ROLE = """
- ansible.builtin.user: {name: worker, create_home: true}
- ansible.builtin.copy:
    dest: /etc/systemd/system/worker.service
    content: "[Service]\\nUser=worker\\nExecStart=sleep infinity\\n"
  notify: start it
- ansible.builtin.template: {src: motd.j2, dest: /etc/motd}
"""
HANDLER = "- {name: start it, ansible.builtin.service: {name: worker, state: restarted}}\n"


def command(words, **more):
    return {"ansible.builtin.command": words, **more}


def shell(words, **more):
    return {"ansible.builtin.shell": words, **more}


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    found = find_debian()
    if found is None:
        pytest.skip("the Debian guest is made by root (scripts/test does it)")
    home = Home(tmp_path_factory.mktemp("inside"))
    image, boot = found
    name = home.name("debian")
    disks = [{"name": "root", "image": image}]
    # What nobody needs here is much of each boot; the second processor is a second thread under emulation.
    boot["cmdline"] += " cloud-init=disabled"
    made = home.play(vm(name, memory="512MiB", cpus=2, boot=boot, disks=disks, nics=[]))
    assert not made["failed"], made
    inside = Inside(home, {name: {}})
    inside.name = name
    (waited,) = inside.play({"ansible.builtin.wait_for_connection": {"timeout": SECONDS}})
    assert not waited["failed"], waited
    yield inside
    home.close()


def handles(guest):
    """Files that the agent has open."""
    (result,) = guest.play({"ansible.builtin.raw": "ls -l /proc/$(pidof qemu-ga)/fd"})
    return [line for line in result["stdout_lines"] if "/tmp" in line or ".ansible" in line or "/root" in line]


def leftovers(guest):
    """How many files of commands that have ended there are: all but the three of this one."""
    (result,) = guest.play({"ansible.builtin.raw": "sleep 4; ls /run | grep -c ^maqet-"})
    return int(result["stdout"]) - 3


def test_ansibles_own_target(guest):
    """Unmodified, with pipelining and without."""
    folder = shutil.copytree(connection_target(), guest.home.desk / "connection")
    guest.invite({word: {"maqet_guest_vm": guest.name, "ansible_pipelining": value} for word, value in (("piped", True), ("copied", False))})
    places = [f"-elocal_tmp={guest.home.desk}/local", "-eremote_tmp=/tmp/ansible-remote", "-etarget_hosts=guest", "-eaction_prefix="]
    done = guest.run("test.sh", *places, program="bash", cwd=folder, INVENTORY=str(guest.inventory))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.count("failed=0") == 2


def test_a_role_in_a_guest_without_network(guest):
    guest.invite({guest.name: {}})
    role = guest.home.desk / "roles/worker"
    for place, text in {"tasks/main.yml": ROLE, "handlers/main.yml": HANDLER, "templates/motd.j2": "{{ ansible_facts['distribution'] }}\n"}.items():
        (role / place).parent.mkdir(parents=True, exist_ok=True)
        (role / place).write_text(text)
    look_at_it = shell("id -u worker; systemctl is-active worker; cat /etc/motd")
    setup, *results = guest.play(gather_facts=True, roles=["worker"], post_tasks=[look_at_it])
    assert setup["ansible_facts"]["ansible_distribution"] == "Debian" and not [result for result in results if result["failed"]]
    number, active, motd = next(result["stdout_lines"] for result in results if "stdout_lines" in result)
    assert int(number) >= 1000 and (active, motd) == ("active", "Debian")


def test_commands_and_users(guest):
    tasks = [
        shell("cat; echo $WORD; echo bad >&2; exit 7", args={"stdin": "in\nner"}, environment={"WORD": "two words"}),
        command("id -un", become=True, become_user="nobody"),
        {"ansible.builtin.raw": "printf 'a\\000\\377b' | od -c | head -1; echo ~; kill -9 $$"},
        {"ansible.builtin.raw": "sleep 100 & true"},
        command("sleep 4", timeout=2),
        {"ansible.builtin.package": {"name": "busybox-static", "state": "absent", "use": "apt"}},
    ]
    said, become, raw, left, late, package = guest.play(*tasks)
    assert (said["stdout_lines"], said["stderr"], said["rc"]) == (["in", "ner", "two words"], "bad", 7)
    assert become["stdout"] == "nobody" and "377" in raw["stdout"] and "/root" in raw["stdout"] and raw["rc"] == 137
    assert left["rc"] == 0 and late["failed"] and "imed out" in late["msg"]
    assert package["changed"] and not package["failed"], package
    assert (handles(guest), leftovers(guest)) == ([], 0)


def test_files(guest, monkeypatch):
    big = guest.home.desk / "big"
    big.write_bytes(os.urandom(4 * MIB + 1))
    total = hashlib.sha1(big.read_bytes()).hexdigest()
    back = guest.home.desk / "back"
    put, fetched = guest.play(
        {"ansible.builtin.copy": {"src": str(big), "dest": "/root/big"}},
        {"ansible.builtin.fetch": {"src": "/root/big", "dest": str(back), "flat": True}},
    )
    assert put["checksum"] == fetched["checksum"] == total and back.read_bytes() == big.read_bytes()
    # Modules look before they transfer anything.
    for key, value in guest.home.environment.items():
        monkeypatch.setenv(key, value)
    session = Session(Here(guest.name), 30)
    with big.open("rb") as file, pytest.raises(MachineError, match="No such file"):
        session.run(Guest(session).put(file, "/root/none/big"))
    with back.open("wb") as file, pytest.raises(MachineError, match="No such file"):
        session.run(Guest(session).fetch("/root/none", file))
    session.close()
    assert handles(guest) == []


def test_several_at_once(guest):
    guest.invite({f"g{number}": {"maqet_guest_vm": guest.name} for number in range(4)})
    results = guest.play({"ansible.builtin.raw": "sleep 2; echo {{ inventory_hostname }}"})
    assert sorted(result["stdout"].strip() for result in results) == ["g0", "g1", "g2", "g3"]
    guest.invite({guest.name: {}})


def test_through_another_host(guest):
    """Whose machines they are is its user here; ssh is asked for each run and machine once, and goes with the run."""
    if not find_sshd()[0]:
        pytest.skip("the host has no ssh server, and Debian's package works only where it is installed")
    home, desk = guest.home, guest.home.desk
    sshd = Sshd(home.root / "sshd", home.runtime)
    far = {"maqet_guest_vm": guest.name, "maqet_guest_hypervisor": "hv"}
    guest.invite({"far": far, "too": far}, hv=through(home, sshd))
    (desk / "there").write_bytes(os.urandom(MIB))
    try:
        results = guest.play(
            {"ansible.builtin.raw": "hostname"},
            {"ansible.builtin.meta": "reset_connection"},
            {"ansible.builtin.setup": {"gather_subset": ["!all", "!min", "platform"]}, "run_once": True},
            {"ansible.builtin.copy": {"src": str(desk / "there"), "dest": "/root/there"}, "run_once": True},
            {"ansible.builtin.fetch": {"src": "/root/there", "dest": str(desk / "from there"), "flat": True}, "run_once": True},
        )
        assert not [result for result in results if result["failed"]] and len(results) == 5, results
        assert results[2]["ansible_facts"]["ansible_system"] == "Linux"
        assert (desk / "from there").read_bytes() == (desk / "there").read_bytes()
        # One that asks, and two that forward, since the connection was reset.
        assert sshd.log.count("Accepted publickey") == 3
        look.wait_until(lambda: not list(home.runtime.glob("maqet/to-*")) and sshd.log.count("Disconnected from user") >= 2)
    finally:
        sshd.close()
        guest.invite({guest.name: {}})


def test_an_agent_that_is_restarted(guest):
    """By the task itself, which goes on; and the guest as a whole."""
    restarted, again, boot = guest.play(
        {"ansible.builtin.service": {"name": "qemu-guest-agent", "state": "restarted", "use": "systemd"}},
        {"ansible.builtin.raw": "cat /proc/sys/kernel/random/boot_id"},
        {"ansible.builtin.reboot": {"reboot_timeout": 600, "reboot_command": "/usr/sbin/reboot"}},
    )
    assert restarted["changed"] and not restarted["failed"], restarted
    assert boot["rebooted"] and not boot["failed"], boot
    (after,) = guest.play({"ansible.builtin.raw": "cat /proc/sys/kernel/random/boot_id"})
    assert after["stdout"] != again["stdout"]


def test_what_the_guest_forbids(guest):
    """The last: nobody gets in any more."""
    lines = "[general]\\nblacklist=guest-exec\\nblock-rpcs=guest-exec\\n"
    guest.play({"ansible.builtin.raw": f"printf '{lines}' >/etc/qemu/qemu-ga.conf; systemctl restart qemu-guest-agent"})
    look.wait_until(lambda: guest.play({"ansible.builtin.raw": "true"})[0]["failed"], 30)
    (result,) = guest.play({"ansible.builtin.raw": "true"})
    assert "guest-exec is not allowed" in result["msg"] and "block list" in result["msg"], result
