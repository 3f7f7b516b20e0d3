# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""maqet_qmp: queries, batches, events, check mode, and what it says when it cannot."""

from __future__ import annotations

from ansible_collections.maqet.qemu.tests.harness import look, wire
from ansible_collections.maqet.qemu.tests.harness.home import qmp, task, vm

SMALL = {"memory": "64MiB"}


def status(home, name):
    return wire.ask(home.sockets(name) / "monitor.sock", "query-status")["status"]


def test_reads_are_never_changed_and_run_in_check_mode(home):
    name = home.name()
    home.started(name)
    info = {"command": "human-monitor-command", "arguments": {"command-line": "info version"}}
    results = home.play(
        qmp(name, "query-status"),
        qmp(name, "query-status", check=True),
        qmp(name, "qom-get", arguments={"path": "/machine", "property": "type"}),
        qmp(name, check=True, **info),
    )
    assert not [result for result in results if result["failed"] or result["changed"]]
    assert results[0]["result"]["status"] == results[1]["result"]["status"] == "running"
    assert results[2]["result"].startswith("pc-q35") and results[3]["result"]
    assert results[0]["vm"]["pid"] == home.pid(name)


def test_what_changes_is_checked_and_not_sent_in_check_mode(home):
    name = home.name()
    home.started(name)
    planned, wrong = home.play(qmp(name, "stop", check=True), qmp(name, "stopp", check=True))
    assert planned["changed"] and not planned["failed"] and planned["results"] == []
    assert wrong["failed"]
    assert status(home, name) == "running"
    assert home.play(qmp(name, "stop"))["changed"]
    assert status(home, name) == "paused"


def test_batch_is_validated_whole_before_the_first_is_sent(home):
    name = home.name()
    home.started(name)
    good, bad = home.play(
        task("maqet_qmp", name=name, commands=[{"execute": "stop"}, {"execute": "query-status"}, {"execute": "cont"}, {"execute": "query-status"}]),
        task("maqet_qmp", name=name, commands=[{"execute": "stop"}, {"execute": "device_del", "arguments": {"idd": "x"}}]),
    )
    assert good["changed"] and [answer.get("status") for answer in good["results"]] == [None, "paused", None, "running"]
    assert bad["failed"] and "commands[1]" in bad["msg"] and "idd" in bad["msg"] and "Did you mean 'id'?" in bad["msg"]
    assert status(home, name) == "running"


def test_wait_for(home):
    name = home.name()
    home.started(name)
    reset = [{"execute": "system_reset"}]
    stop, came, never = home.play(
        qmp(name, "stop", wait_for={"event": "STOP", "timeout": 5}),
        task("maqet_qmp", name=name, commands=reset, wait_for={"event": "RESET", "match": {"guest": False}, "timeout": 5}),
        task("maqet_qmp", name=name, commands=reset, wait_for={"event": "RESET", "match": {"guest": True}, "timeout": 1}),
    )
    assert [event["event"] for event in stop["events"]] == ["STOP"]
    assert came["events"][-1]["event"] == "RESET" and not came["failed"]
    assert never["failed"] and "RESET" in never["msg"] and never["seconds"] < 5
    assert look.event_names(home.directory(name)).count("STOP") == 1


def test_quit_is_an_answer(home):
    name = home.name()
    home.started(name, supervisor="process")
    result = home.play(qmp(name, "quit"))
    assert result["changed"] and not result["failed"]
    look.wait_until(lambda: not home.qemus(name))


def test_what_it_says_when_it_cannot(home):
    name, stopped = home.name(), home.name("stopped")
    home.started(name)
    cases = {
        "query-stats2": ["query-stats2", "Did you mean"],
        "device_dell": ["device_dell", "Did you mean 'device_del'?"],
        "eject": ["refused", "eject"],
    }
    results = home.play(
        *(qmp(name, command) for command in cases),
        vm(stopped, state="present", **SMALL),
        qmp(stopped, "query-status"),
        qmp("nobody-has-this", "query-status"),
        qmp(name, "block_resize", arguments={"node-name": "x", "size": "big"}),
    )
    for words, result in zip(cases.values(), results):
        if words[0] != "refused":
            assert result["failed"] and all(word in result["msg"] for word in words), result["msg"]
    asleep, unknown, wrong = results[-3:]
    assert asleep["failed"] and "does not run" in asleep["msg"] and "state: started" in asleep["hint"]
    assert unknown["failed"] and "no machine" in unknown["msg"] and unknown["hint"]
    assert wrong["failed"] and "size" in wrong["msg"] and "big" in wrong["msg"]


def test_passwords_come_back_in_no_result(home):
    name, secret = home.name(), "hunter2-and-more"
    home.started(name)
    play = home.begin(
        qmp(name, "object-add", arguments={"qom-type": "secret", "id": "s0", "data": secret}),
        qmp(name, "set_password", arguments={"protocol": "vnc", "password": secret}),
        qmp(name, "set_password", arguments={"protocol": "vnc", "pasword": "x", "password": secret}),
        qmp(name, "object-add", check=True, arguments={"qom-type": "secret", "id": "s1", "data": secret}),
    )
    output, errors = play.communicate(timeout=60)
    assert output.count('"failed"') == 4 and secret not in output + errors
    files = [path for path in home.root.rglob("*") if path.is_file() and "play-" not in path.name]
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert secret not in " ".join(look.command_line(home.pid(name)))
