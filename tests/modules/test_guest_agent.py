# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that the connection plugin cannot reach, each for its own reason."""

from __future__ import annotations

import os
import signal
import time

import pytest
from ansible_collections.maqet.qemu.tests.harness.home import vm
from ansible_collections.maqet.qemu.tests.harness.inside import Inside, through
from ansible_collections.maqet.qemu.tests.harness.inventory import telling
from ansible_collections.maqet.qemu.tests.harness.ready import FakeAgent
from ansible_collections.maqet.qemu.tests.harness.sshd import Sshd, find_sshd

RAW = {"ansible.builtin.raw": "true"}
# An event as QEMU writes it when the guest opens its end.
OPEN = '{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "VSERPORT_CHANGE", "data": {"open": true, "id": "guest-agent"}}\n'
WORDS = {
    "unknown": ["this user on this host has no machine", "maqet_guest_vm"],
    "stopped": ["it does not run", "state: started"],
    "bare": ["has no channel for an agent", "guest_agent: true"],
    "silent": ["no agent has come up in the guest", "Install qemu-guest-agent"],
    "paused": ["it is paused", "state: started"],
    "stuck": ["QEMU's process is stopped", "kill -CONT"],
    "barred": ["may not run commands: guest-exec is not allowed", "block list"],
    "confined": ["cannot run commands", "SELinux", "virt_qemu_ga_run_unconfined"],
    "nowhere": ["the inventory has no host 'mars'"],
    "odd": ["is not reached by ssh"],
}
FAR_WORDS = {
    "unknown": ["hv has no machine", "maqet_guest_vm"],
    "stopped": ["it does not run", "state: started"],
    "refused": ["does not let ssh reach the socket", "AllowStreamLocalForwarding"],
    "lost": ["off cannot tell its machines", "Connection refused"],
    "other": ["is another user's, by become", "ansible_user"],
    "liar": ["fraud tells of a socket that is none: '/${HOME}/agent'"],
}


def test_each_reason_is_told(home):
    names = {word: home.name(word) for word in WORDS}
    raw = {"memory": "64MiB"}
    home.play(
        vm(names["stopped"], state="stopped", **raw),
        vm(names["paused"], state="paused", **raw),
        vm(names["bare"], guest_agent=False, **raw),
        *(vm(names[word], **raw) for word in ("silent", "stuck", "barred", "confined")),
    )
    errors = {
        "barred": {"class": "CommandNotFound", "desc": "Command guest-exec has been disabled"},
        "confined": {"class": "GenericError", "desc": "Failed to execute child process '/bin/sh' (Permission denied)"},
    }
    fakes = [FakeAgent(home.sockets(names[word]) / "agent.sock", [answer]) for word, answer in errors.items()]
    for word in ("stuck", "barred", "confined"):
        with open(home.directory(names[word]) / "events.jsonl", "a", encoding="ascii") as file:
            file.write(OPEN)
    os.kill(home.pid(names["stuck"]), signal.SIGSTOP)
    hosts = {word: {"maqet_guest_vm": name, "maqet_guest_timeout": 2} for word, name in names.items()}
    hosts["nowhere"]["maqet_guest_hypervisor"], hosts["odd"]["maqet_guest_hypervisor"] = "mars", "stopped"
    begun = time.monotonic()
    try:
        told = {result["play_host"]: result["msg"] for result in Inside(home, hosts).play(RAW)}
    finally:
        os.kill(home.pid(names["stuck"]), signal.SIGCONT)
        for fake in fakes:
            fake.close()
    missing = {host: told[host] for host, words in WORDS.items() if [word for word in words if word not in told[host]]}
    assert missing == {}
    assert time.monotonic() - begun < 30


def test_each_reason_is_told_of_another_host(home, tmp_path):
    if not find_sshd()[0]:
        pytest.skip("the host has no ssh server, and Debian's package works only where it is installed")
    sshd = Sshd(tmp_path / "sshd", home.runtime, "AllowStreamLocalForwarding no")
    names = {word: home.name(word) for word in FAR_WORDS}
    home.play(vm(names["stopped"], state="stopped", memory="64MiB"), vm(names["refused"], memory="64MiB"))
    hosts = {word: {"maqet_guest_vm": name, "maqet_guest_hypervisor": "hv", "maqet_guest_timeout": 2} for word, name in names.items()}
    for word, host in {"lost": "off", "other": "root", "liar": "fraud"}.items():
        hosts[word]["maqet_guest_hypervisor"] = host
    hypervisor = through(home, sshd)
    # ssh would have our environment in what it asks that host for.
    lie = {"name": names["liar"], "pid": 1, "status": "running", "guest_agent": True, "sockets": {"agent": "/${HOME}/agent"}}
    fraud = {**hypervisor, "ansible_python_interpreter": telling(home, "fraud", ["no machine", lie])["ansible_python_interpreter"]}
    inside = Inside(home, hosts)
    inside.invite(hosts, hv=hypervisor, off={**hypervisor, "ansible_port": 1}, root={**hypervisor, "ansible_become": True}, fraud=fraud)
    begun = time.monotonic()
    try:
        told = {result["play_host"]: result["msg"] for result in inside.play(RAW)}
    finally:
        sshd.close()
    missing = {host: told[host] for host, words in FAR_WORDS.items() if [word for word in words if word not in told[host]]}
    assert missing == {}
    assert time.monotonic() - begun < 30
