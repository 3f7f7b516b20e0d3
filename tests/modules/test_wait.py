# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""maqet_wait without a guest: what happened before it, the machine's end, jobs, many events, and what it says in vain."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._engine import Engine
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MachineError
from ansible_collections.maqet.qemu.plugins.module_utils._wait import Wait, wait
from ansible_collections.maqet.qemu.tests.harness import look, wire
from ansible_collections.maqet.qemu.tests.harness.engine import host_of, reach
from ansible_collections.maqet.qemu.tests.harness.home import qmp, task, vm
from ansible_collections.maqet.qemu.tests.harness.ready import FakeAgent

# A firmware that is reset while it begins resets its machine once more.
BY_HOST = {"name": "RESET", "match": {"guest": False}}


def waited(home, name, *conditions, check=False, **how):
    """What the task found, in this process."""
    host = host_of(home)
    try:
        return wait(Wait(name, list(conditions), **{"timeout": 10, **how}), check=check, engine=Engine(host))
    finally:
        host.store.close()


def met(answer):
    return [item["met"] for item in answer.conditions]


def in_vain(home, name, *conditions, **how):
    with pytest.raises(MachineError) as caught:
        waited(home, name, *conditions, **how)
    return caught.value


def soon(act, seconds=0.4):
    threading.Timer(seconds, act).start()


def monitor(home, name):
    return home.sockets(name) / "monitor.sock"


def test_what_came_before_the_task_counts(home, supervisor):
    name = home.name()
    home.started(name, supervisor=supervisor)
    before = time.time()
    wire.ask(monitor(home, name), "system_reset")
    answer = waited(home, name, {"event": BY_HOST}, {"status": "running"})
    assert met(answer) == [True, True] and answer.seconds < 2 and answer.vm["pid"] == home.pid(name)
    assert answer.conditions[0]["found"]["data"]["reason"] == "host-qmp-system-reset"
    error = in_vain(home, name, {"event": BY_HOST}, since="now", timeout=0.5)
    assert "not met within 0.5 s: event RESET: events seen: " in error.message
    reach(home, name, state="restarted", force=True)
    assert "event RESET" in in_vain(home, name, {"event": BY_HOST}, timeout=0.5).message
    assert met(waited(home, name, {"event": BY_HOST}, since=str(before))) == [True]
    assert "1 of 2 came" in in_vain(home, name, {"event": {**BY_HOST, "count": 2}}, since=str(before), timeout=0.5).message
    soon(lambda: wire.ask(monitor(home, name), "system_reset"))
    assert waited(home, name, {"event": {**BY_HOST, "count": 2}}, since=str(before)).seconds > 0.3
    log = home.directory(name) / "serial.log"
    log.write_text("login: \n")
    assert waited(home, name, {"serial": "^log.n: $"}).conditions[0]["found"] == "login: "
    soon(lambda: log.write_text("login: \nlogin: \n"))
    assert waited(home, name, {"serial": "^login: $"}, since="now").seconds > 0.3


def test_one_of_several_is_enough(home):
    name = home.name()
    home.started(name)
    answer = waited(home, name, {"serial": "never"}, {"agent": True}, {"status": "running"}, match="any")
    assert met(answer) == [False, False, True] and answer.seconds < 2
    soon(lambda: wire.ask(monitor(home, name), "system_reset"))
    answer = waited(home, name, {"serial": "never", "timeout": 0.1}, {"event": BY_HOST}, match="any", since="now")
    assert met(answer) == [False, True]
    error = in_vain(home, name, {"serial": "never", "timeout": 0.1}, {"event": BY_HOST, "timeout": 0.3}, match="any", since="now")
    assert error.message.startswith("none of these was met within 0.1 s: serial never") and len(error.data["conditions"]) == 2


def test_the_end_of_a_machine_can_be_waited_for(home, supervisor):
    name = home.name()
    home.started(name, supervisor=supervisor, restart_policy="no")
    soon(lambda: reach(home, name, state="stopped", force=True))
    answer = waited(home, name, {"status": "stopped"}, {"event": {"name": "SHUTDOWN", "match": {"guest": False}}})
    assert met(answer) == [True, True] and answer.conditions[1]["found"]["data"]["reason"] == "host-qmp-quit" and answer.vm["pid"] is None
    assert waited(home, name, {"event": "SHUTDOWN"}).seconds < 1
    error = in_vain(home, name, {"event": BY_HOST})
    assert "does not run: its host ended it (host-qmp-quit)" in error.message and error.data["conditions"][0]["seen"] == "events seen: SHUTDOWN"
    soon(lambda: reach(home, name, state="started"))
    assert met(waited(home, name, {"status": "running"})) == [True]
    assert "it is stopped" not in in_vain(home, name, {"status": "stopped"}, timeout=0.5).message
    soon(lambda: os.kill(home.pid(name), signal.SIGKILL))
    assert "QEMU ended without a word" in in_vain(home, name, {"agent": True}).message
    assert "status running: it is stopped" in in_vain(home, name, {"status": "running"}, timeout=0.5).message


def test_an_event_is_counted_through_a_crash(home):
    """systemd starts the machine again within half a second, and nobody need be quicker."""
    name = home.name()
    home.started(name, supervisor="systemd", restart_policy="always")
    wire.ask(monitor(home, name), "system_reset")
    first = home.pid(name)

    def crash():
        os.kill(first, signal.SIGKILL)
        look.wait_until(lambda: home.qemus(name) not in ([], [first]))
        time.sleep(0.3)
        wire.ask(monitor(home, name), "system_reset")

    soon(crash, 0.1)
    answer = waited(home, name, {"event": {**BY_HOST, "count": 2}}, {"status": "running"})
    assert met(answer) == [True, True] and answer.vm["pid"] == home.pid(name) != first


def test_a_thousand_events(home):
    """None is lost and none counted twice, while they come and after."""
    name = home.name()
    home.started(name)
    half = [{"event": {"name": "STOP", "count": 500}}, {"event": {"name": "RESUME", "count": 500}}]

    def burst():
        with wire.Wire(monitor(home, name)) as session:
            for _number in range(500):
                session.ask("stop")
                session.ask("cont")

    before = str(time.time())
    soon(burst, 0.1)
    first = waited(home, name, *half, since="now")
    assert [item["found"]["event"] for item in first.conditions] == ["STOP", "RESUME"]
    assert met(waited(home, name, *half, since=before)) == [True, True]
    more = [{"event": {"name": word, "count": 501}} for word in ("STOP", "RESUME")]
    error = in_vain(home, name, *more, since=before, timeout=0.5)
    assert "event STOP: 500 of 501 came" in error.message and "event RESUME: 500 of 501 came" in error.message


def test_a_guest_that_stands_still(home):
    name = home.name()
    home.started(name)
    wire.ask(monitor(home, name), "stop")
    for condition in ({"agent": True}, {"serial": "never"}, {"command": ["true"]}):
        error = in_vain(home, name, condition)
        assert "the guest stands still: it is paused" in error.message and "state: started" in error.hint
    assert waited(home, name, {"status": "paused"}).conditions[0]["found"] == "paused"
    soon(lambda: wire.ask(monitor(home, name), "cont"))
    assert met(waited(home, name, {"status": "running"}, {"event": {"name": "RESUME"}}, since="now")) == [True, True]
    os.kill(home.pid(name), signal.SIGSTOP)
    try:
        assert "and its process is stopped (kill -CONT wakes it): agent" in in_vain(home, name, {"agent": True}, timeout=1).message
        assert "process is stopped" in in_vain(home, name, {"status": "running"}, timeout=1).message
    finally:
        os.kill(home.pid(name), signal.SIGCONT)


def test_jobs(home):
    name = home.name()
    home.started(name, disks=[{"name": "root", "size": "8MiB"}])
    target = home.directory(name) / "copy.raw"
    target.write_bytes(bytes(8 << 20))
    target_node = {"node-name": "copy", "driver": "file", "filename": str(target)}
    assert "there is no such job" in in_vain(home, name, {"job": "copy0"}, timeout=0.5).message
    wire.ask(monitor(home, name), "blockdev-add", **target_node)

    def back_up(job, **more):
        device = next(item["inserted"]["node-name"] for item in wire.ask(monitor(home, name), "query-block") if item.get("inserted"))
        arguments = {"job-id": job, "device": device, "target": "copy", "sync": "full", **more}
        assert wire.ask(monitor(home, name), "blockdev-backup", **arguments) == {}

    soon(lambda: back_up("copy0"))
    assert waited(home, name, {"job": "copy0"}).conditions[0]["found"] == "concluded"
    back_up("copy1", speed=1, **{"auto-dismiss": False})
    assert "job copy1: its status is running (" in in_vain(home, name, {"job": "copy1"}, timeout=0.5).message
    wire.ask(monitor(home, name), "job-cancel", id="copy1")
    assert "the job copy1 failed: Operation canceled" in in_vain(home, name, {"job": "copy1"}).message
    assert "no such job; there are copy1" in in_vain(home, name, {"job": "copy0"}, since="now", timeout=0.5).message


def test_a_port_seen_from_the_guest(home):
    name = home.name()
    home.started(name)
    with open(home.directory(name) / "events.jsonl", "a", encoding="ascii") as events:
        events.write('{"event": "VSERPORT_CHANGE", "data": {"id": "guest-agent", "open": true}, "timestamp": {"seconds": 1, "microseconds": 1}}\n')
    server = FakeAgent(home.sockets(name) / "agent.sock", [])
    try:
        error = in_vain(home, name, {"port": {"guest": 22, "from": "guest"}})
        assert "may not read files" in error.message and "guest-file-open" in error.hint
    finally:
        server.close()


def test_a_task_of_a_play(home):
    name, stopped = home.name(), home.name("stopped")
    home.started(name)

    def awaits(machine, *conditions, **more):
        return task("maqet_wait", name=machine, conditions=list(conditions), timeout=1, **more)

    results = home.play(
        vm(stopped, state="present", memory="64MiB"),
        qmp(name, "system_reset"),
        awaits(name, {"event": {"name": "RESET", "count": "{{ 1 }}"}}, {"status": "running", "timeout": 5}),
        awaits(stopped, {"agent": True}),
        awaits(stopped, {"status": "stopped"}),
        awaits("nobody-has-this", {"agent": True}),
        awaits("nobody-has-this", {"agent": True}, check=True),
        awaits(name, {"agent": True}, {"command": ["rm", "x"]}, {"status": "running"}, check=True),
        awaits(name, {"agnt": True}),
        awaits(name, {"port": 22}),
        awaits(name, {"status": "running"}, since="later"),
    )
    assert not [result for result in results[2:] if result.get("changed")]
    good, asleep, stands, unknown, yet, once, typo, wayless, later = results[2:]
    assert not good["failed"] and [item["met"] for item in good["conditions"]] == [True, True]
    assert asleep["failed"] and "does not run" in asleep["msg"] and not stands["failed"]
    assert unknown["failed"] and "no machine" in unknown["msg"] and "maqet_vm_info" in unknown["hint"]
    assert not yet["failed"] and yet["warnings"] and not yet["conditions"][0]["met"]
    assert not once["failed"] and [item["met"] for item in once["conditions"]] == [False, False, True]
    assert once["conditions"][1]["seen"] == "not looked at yet"
    assert typo["failed"] and "Did you mean 'agent'?" in typo["msg"]
    assert wayless["failed"] and "conditions[0].port" in wayless["msg"] and "nothing leads to port 22" in wayless["msg"]
    assert later["failed"] and "since: 'later' is no time" in later["msg"]


def test_a_word_on_the_screen(home):
    """The firmware's own: no guest is needed."""
    name = home.name()
    home.started(name)
    answer = waited(home, name, {"screen": "SeaBIOS"}, timeout=60)
    assert answer.conditions[0]["found"] == "SeaBIOS"
    assert "screen Welcome: the screen says '" in in_vain(home, name, {"screen": "Welcome"}, timeout=4).message
    # However little time is left, it is the condition that is not met, and not the reader that failed.
    assert "not met within 0.01 s: screen Welcome: " in in_vain(home, name, {"screen": "Welcome"}, timeout=0.01).message
