# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for machines without a guest: what is never met, and what ends the waiting."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._host import lock
from ansible_collections.maqet.qemu.plugins.module_utils._host.conditions import was_ready
from ansible_collections.maqet.qemu.tests.harness import look, wire
from ansible_collections.maqet.qemu.tests.harness.engine import reach
from ansible_collections.maqet.qemu.tests.harness.ready import FakeAgent, record_of, wait, why_not

NIC = {"nics": [{"name": "lan", "forwards": [{"guest": 22}]}]}


def says(error, *words):
    return [word for word in words if word not in str(error)] == []


def monitor(home, name):
    return home.sockets(name) / "monitor.sock"


def test_what_is_met_is_remembered_while_that_qemu_runs(home, supervisor):
    name = home.name()
    home.started(name, supervisor=supervisor, **NIC)
    conditions = [{"status": "running"}]
    assert was_ready(record_of(home, name), home.pid(name), conditions) is None
    assert wait(home, name, *conditions) < 2
    seconds = was_ready(record_of(home, name), home.pid(name), conditions)
    assert 0 < seconds < 60
    assert was_ready(record_of(home, name), home.pid(name), [*conditions, {"address": True}]) is None
    wire.ask(monitor(home, name), "system_reset")
    assert wait(home, name, {"event": {"name": "RESET", "match": {"guest": False}}}, {"event": "RESET"}) < 2
    reach(home, name, state="restarted", force=True)
    assert was_ready(record_of(home, name), home.pid(name), conditions) is None
    error, _seconds = why_not(home, name, {"event": "RESET"}, {"status": "running"}, seconds=1)
    assert says(error, "not ready within 1 s", "event RESET: events seen") and "status" not in error.message


def test_what_was_seen_last_is_said(home):
    name = home.name()
    home.started(name, **NIC)
    with open(home.directory(name) / "serial.log", "ab") as log:
        log.write(b"".join(b"line %d\r\n" % number for number in range(40)) + b"\x1b[1mlast\x1b[0m words")
    conditions = [
        {"agent": True},
        {"serial": "login: $"},
        {"port": 22},
        {"command": ["true"]},
        {"address": True},
        {"cloud_init": "done"},
        {"serial": "^line 3$"},
    ]
    error, seconds = why_not(home, name, *conditions, seconds=4)
    assert seconds < 8
    assert says(error, "agent: no agent answers", "serial login: $: not among the 41 lines", "port 22: the guest does not answer", "command true: no agent")
    assert says(error, "address: the guest's agent tells no", "cloud_init done: no agent answers", "last words") and "line 3" not in error.message
    assert error.data["serial"][-2:] == ["line 39", "last words"] and len(error.data["serial"]) == 15
    assert len(error.data["conditions"]) == 6
    own, seconds = why_not(home, name, {"agent": True}, {"serial": "never", "timeout": 0.5}, seconds=30)
    assert says(own, "not ready within 0.5 s", "serial never") and seconds < 4


def test_what_can_never_be_met_ends_at_once(home):
    name = home.name()
    home.started(name, guest_agent=False)
    for condition, word in (({"agent": True}, "guest_agent is false"), ({"port": 22}, "nothing leads to port 22")):
        error, seconds = why_not(home, name, condition, seconds=30)
        assert says(error, "ready[0]", word) and seconds < 1


def test_the_end_of_a_machine_ends_the_waiting(home, supervisor):
    name = home.name()
    never = {"serial": "never"}

    def start(**wish):
        reach(home, name, raw={"memory": "64MiB", "restart_policy": "no"}, supervisor=supervisor, **wish)

    start()
    ends = [
        (lambda: wire.ask(monitor(home, name), "stop"), ["it is paused"]),
        (lambda: reach(home, name, state="stopped", force=True), ["does not run: its host ended it (host-qmp-quit)"]),
        (lambda: os.kill(home.pid(name), signal.SIGKILL), ["does not run: QEMU ended without a word", "qemu.log"]),
        (lambda: reach(home, name, state="absent", force=True), ["was removed"]),
    ]
    for number, (end, words) in enumerate(ends):
        if number:
            start()

        def act(end=end):
            end()

        error, seconds = why_not(home, name, never, seconds=30, meanwhile=act)
        assert says(error, *words) and seconds < 5, error
    start(state="paused")
    error, seconds = why_not(home, name, never, seconds=30)
    assert says(error, "started paused") and seconds < 2
    assert wait(home, name, {"status": "paused"}) < 2
    reach(home, name, state="stopped", force=True)
    assert says(why_not(home, name, never)[0], "does not run")
    assert not list(home.state.glob("maqet/locks/*removed*"))


def test_a_short_pause_is_none_and_a_lock_is_waited_for(home):
    """As a snapshot does it: under the machine's lock, and running again at its end."""
    name = home.name()
    home.started(name)

    def pause():
        held = lock.try_lock(f"{home.state}/maqet/locks/{name}")
        wire.ask(monitor(home, name), "stop")
        time.sleep(2.5)
        wire.ask(monitor(home, name), "cont")
        os.close(held)

    error, seconds = why_not(home, name, {"serial": "never"}, seconds=4, meanwhile=pause)
    assert says(error, "not ready within 4 s") and seconds > 3.9


def test_another_qemu_begins_anew(home):
    """systemd starts it again after a crash: what its guest said before does not count."""
    name = home.name()
    home.started(name, supervisor="systemd")
    log = home.directory(name) / "serial.log"
    log.write_text("login: \n")
    assert wait(home, name, {"serial": "^login: $"}) < 2
    first = home.pid(name)

    def crash():
        os.kill(first, signal.SIGKILL)

    error, _seconds = why_not(home, name, {"serial": "^login: $"}, {"agent": True}, seconds=5, meanwhile=crash)
    assert says(error, "serial ^login: $: not among the 0 lines") and home.pid(name) != first
    with open(log, "a", encoding="ascii") as stream:
        stream.write("login: \n")
    assert wait(home, name, {"serial": "^login: $"}) < 2


def test_a_machine_that_goes_on_where_it_was_has_said_it_before(home, supervisor):
    name = home.name()
    home.started(name, supervisor=supervisor)
    (home.directory(name) / "serial.log").write_text("login: \n")
    reach(home, name, state="suspended")
    reach(home, name, state="started")
    assert wait(home, name, {"serial": "^login: $"}, {"status": "running"}) < 2


CLOUD_INIT = [
    ([(0, '{"status": "running", "errors": []}'), (0, '{"status": "done", "errors": []}')], ""),
    ([(2, '{"status": "done", "extended_status": "degraded done", "errors": []}')], ""),
    ([(1, '{"status": "error", "errors": ["runcmd: exit code 3"]}')], "cloud-init failed in the guest: runcmd: exit code 3"),
    ([(0, '{"status": "disabled", "errors": [], "detail": "by a kernel argument"}')], "switched off"),
    ([(2, "usage: cloud-init status"), (0, "status: done\ntime: x\ndetail:\nDataSourceNone\n")], ""),
    ([(2, "usage: cloud-init status"), (1, "status: error\ntime: x\ndetail:\nrunning 'runcmd'\n")], "running 'runcmd'"),
    ([{"class": "GenericError", "desc": "Failed to execute child process (No such file or directory)"}], "there is no cloud-init"),
]


@pytest.fixture
def agent(home):
    name = home.name()
    home.started(name)
    servers = []

    def make(answers):
        with open(home.directory(name) / "events.jsonl", "a", encoding="ascii") as events:
            events.write('{"event": "VSERPORT_CHANGE", "data": {"id": "guest-agent", "open": true}, "timestamp": {"seconds": 1, "microseconds": 1}}\n')
        servers.append(FakeAgent(home.sockets(name) / "agent.sock", answers))
        return name, servers[-1]

    yield make
    for server in servers:
        server.close()


def test_what_an_agent_says_of_cloud_init(home, agent):
    for answers, word in CLOUD_INIT:
        name, server = agent(answers)
        if word:
            error, seconds = why_not(home, name, {"cloud_init": "done"}, seconds=20)
            assert says(error, word) and seconds < 5, error
        else:
            assert wait(home, name, {"cloud_init": "done"}) < 5
        assert server.asked[0] == ["cloud-init", "status", "--format", "json"]
    barred = {"class": "CommandNotFound", "desc": "Command guest-exec has been disabled"}
    name, server = agent([barred])
    with open(home.directory(name) / "serial.log", "a", encoding="ascii") as log:
        log.write("[   12.3] cloud-init[543]: Cloud-init v. 22.4.2 finished at Sun, 22 Nov 2026 07:47:45 +0000. Datasource None. Up 12.34 seconds\n")
    assert wait(home, name, {"cloud_init": "done"}) < 2
    error, seconds = why_not(home, name, {"command": ["true"]}, seconds=20)
    assert says(error, "may not run commands", "block list") and seconds < 2


def test_what_a_command_says(home, agent):
    name, server = agent([(3, "not yet"), (3, "not yet"), (0, "")])
    assert wait(home, name, {"command": ["systemctl", "is-active", "nginx"]}) < 3
    assert server.asked == [["systemctl", "is-active", "nginx"]] * 3
    name, server = agent([(3, "first\nnot yet")])
    error, _seconds = why_not(home, name, {"command": ["nginx", "-t"]}, seconds=1)
    assert says(error, "command nginx -t: exit code 3: not yet")


def test_a_port_that_the_host_reaches(home, tmp_path):
    """An address beside QEMU's own network: what takes the connection is the guest itself."""
    name = home.name()
    home.started(name)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        error, _seconds = why_not(home, name, {"port": {"guest": port, "address": "127.0.0.1"}}, seconds=0.5)
        assert says(error, f"127.0.0.1:{port}: ", "refused")
        server.listen()
        assert wait(home, name, {"port": {"guest": port, "address": "127.0.0.1"}}) < 1
    assert json.loads(Path(home.sockets(name), "ready").read_text())["pid"] == home.pid(name)
    assert look.starts(home.directory(name)) == 1
