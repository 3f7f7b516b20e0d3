# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks and files in a guest by its agent, beside ssh to the same guest through a forward, with the arguments that Ansible gives it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ansible_collections.maqet.qemu.plugins.plugin_utils._guest import Guest
from ansible_collections.maqet.qemu.plugins.plugin_utils._guest_session import Session
from ansible_collections.maqet.qemu.plugins.plugin_utils._guest_way import Here
from ansible_collections.maqet.qemu.tests.harness.debian import find_debian
from ansible_collections.maqet.qemu.tests.harness.home import Home, vm
from ansible_collections.maqet.qemu.tests.harness.inside import Inside
from common import ROUNDS, Figure, seconds, timed

MEGABYTES, MEGABYTES_ALONE = 50, 20
USER = "debian"
HOME = f"/home/{USER}"
BOOT_SECONDS = 300
# The first task of a play opens the connection.
TASKS = [{"ansible.builtin.raw": "true"}, *[{"ansible.builtin.raw": "true"}] * 3, *[{"ansible.builtin.ping": {}}] * 2]
_OPTIONS = ["-C", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]


def guest(root):
    found = find_debian()
    if found is None:
        print("Nothing of guests: there is no Debian to boot")
        return []
    home = Home(f"{root}/guest")
    try:
        inside, ssh = _begin(home, *found)
        for word, size in (("big", MEGABYTES), ("part", MEGABYTES_ALONE), ("small", 0)):
            (home.root / word).write_bytes(os.urandom(size * 10**6))
        return [*_tasks(inside), *_copies(inside), *_transfers(home, inside.name, ssh)]
    finally:
        home.close()


def _begin(home, image, boot):
    """The guest, which both ways reach; the ssh of one."""
    key = home.root / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    name = home.name("debian")
    more = {"disks": [{"name": "root", "image": image}], "nics": [{"name": "lan", "forwards": [{"guest": 22}]}]}
    keys = {"user_data": {}, "ssh_keys": [key.with_suffix(".pub").read_text(encoding="ascii").strip()]}
    made = home.play(vm(name, memory="512MiB", restart_policy="no", boot=boot, cloud_init=keys, **more))
    if made["failed"]:
        raise SystemExit(made["msg"])
    port = made["vm"]["forwards"][0]["host"]
    ssh = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": port, "ansible_user": USER}
    ssh |= {"ansible_ssh_private_key_file": str(key), "ansible_ssh_extra_args": " ".join(_OPTIONS[1:]), "ansible_ssh_timeout": 60}
    inside = Inside(home, {"agent": {"maqet_guest_vm": name}, "ssh": {**ssh, "ansible_pipelining": True}})
    inside.name = name
    _good(inside.play({"ansible.builtin.wait_for_connection": {"timeout": BOOT_SECONDS}}))
    control = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", f"ControlPath={home.root}/ssh"]
    return inside, [*_OPTIONS, *control, "-i", str(key), "-P", str(port)]


def _good(results):
    for result in results:
        if result["failed"]:
            raise SystemExit(f"a task failed: {result}")
    return [result["seconds"] for result in results]


def _tasks(inside):
    spent = {"agent": [], "ssh": []}
    for _round in range(ROUNDS):
        for host, of_host in spent.items():
            of_host.append(_good(inside.play(*TASKS, hosts=host)))
    raw = {host: [second for of_round in rounds for second in of_round[1:4]] for host, rounds in spent.items()}
    ping = {host: [second for of_round in rounds for second in of_round[4:]] for host, rounds in spent.items()}
    return [seconds("raw", raw["agent"], "ssh", raw["ssh"]), seconds("ping, a module", ping["agent"], "ssh", ping["ssh"])]


def _copies(inside):
    """Whole tasks, with the checksums that they have."""
    file, back = inside.home.root / "big", inside.home.root / "back"
    spent = {"agent": [], "ssh": []}
    for number in range(min(ROUNDS, 2)):
        for host, of_host in spent.items():
            there = f"{HOME}/{host}-{number}"
            copy = {"ansible.builtin.copy": {"src": str(file), "dest": there}}
            fetch = {"ansible.builtin.fetch": {"src": there, "dest": str(back), "flat": True}}
            of_host.append(_good(inside.play(copy, fetch, {"ansible.builtin.raw": f"rm {there}"}, hosts=host)))
            _same(file, back)
    labels = {0: f"copy of {MEGABYTES} MB", 1: f"fetch of {MEGABYTES} MB"}
    return [seconds(label, [of[at] for of in spent["agent"]], "ssh", [of[at] for of in spent["ssh"]]) for at, label in labels.items()]


def _same(file, back):
    if file.read_bytes() != back.read_bytes():
        raise SystemExit("what came back is not what went there")
    back.unlink()


def _transfers(home, name, ssh):
    """The transfers alone."""
    os.environ.update(home.environment)
    session = Session(Here(name), BOOT_SECONDS)
    ours, theirs = {"put": [], "fetch": []}, {"put": [], "fetch": []}
    file, there = home.root / "part", f"{USER}@127.0.0.1:{HOME}/ssh"
    scp = ["scp", "-q", *ssh]
    subprocess.run([*scp, str(home.root / "small"), there], check=True)
    try:
        for _round in range(min(ROUNDS, 2)):
            ours["put"].append(_rate(lambda: _put(session, file)))
            theirs["put"].append(_rate(lambda: subprocess.run([*scp, str(file), there], check=True)))
            ours["fetch"].append(_rate(lambda: _fetch(session, home.root / "back")))
            _same(file, home.root / "back")
            theirs["fetch"].append(_rate(lambda: subprocess.run([*scp, there, str(home.root / "back")], check=True)))
    finally:
        session.close()
    labels = {"put": "put alone", "fetch": "fetch alone"}
    return [Figure(label, ours[word], "scp", theirs[word], unit="MB/s") for word, label in labels.items()]


def _rate(work):
    return MEGABYTES_ALONE / timed(work)


def _put(session, path: Path):
    with path.open("rb") as file:
        session.run(Guest(session).put(file, f"{HOME}/agent"))


def _fetch(session, path: Path):
    with path.open("wb") as file:
        session.run(Guest(session).fetch(f"{HOME}/agent", file))
