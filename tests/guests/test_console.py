# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A seat at the serial console of a booted guest."""

from __future__ import annotations

import json
import socket
import time

from ansible_collections.maqet.qemu.tests.harness.home import qmp, task, vm

LINES = 3000
SECRET = "word-of-nobody"


def console(name, *steps, check=False, **options):
    return task("maqet_console", name=name, steps=list(steps), check=check, **options)


def seen(result):
    assert not result["failed"], result["msg"]
    return result["steps"]


def test_a_seat_at_the_console(home, boot):
    name = home.name()
    home.started(name, memory="256MiB", boot=boot)
    booted, between, gone_on, again = home.play(
        # The first task reads what was said before it, to the end of the boot.
        console(name, {"expect": r"^(?P<word>guest) (ready)$"}, timeout=360),
        console(name, {"expect": "# $"}, {"send": "(sleep 0.3; echo $((6*7))-between) &"}),
        console(name, {"expect": r"42-between$", "timeout": 5}),
        console(name, {"expect": r"42-between", "timeout": 0.5}),
    )
    (step,) = seen(booted)
    assert (step["match"], step["groups"], step["named"]) == ("guest ready", ["guest", "ready"], {"word": "guest"}) and not booted["changed"]
    assert seen(between)[1].keys() == {"step", "seconds"} and between["changed"]
    assert seen(gone_on)[0]["seen"].endswith("42-between")
    assert again["failed"] and "steps[0] (expect '42-between'): it did not come within 0.5 s" in again["msg"] and again["serial"][-1]

    what_it_does(home, name)
    who_comes_second(home, name)
    guests_that_stand_still(home, name)


def what_it_does(home, name):
    getty = "printf 'its login: '; read user; printf 'Password: '; echo '<0>A word of the kernel' >/dev/kmsg; read password; echo $user is in"
    lines = f"for i in $(seq {LINES}); do echo line $i of many that are written; done"
    ran, entered, typed, installer, failed, late = home.play(
        console(name, {"run": lines, "timeout": 90}, {"run": "printf 'a  b'"}, {"run": f"echo {SECRET}-1", "no_log": True}),
        console(name, {"run": f"getty() {{ {getty}; }}"}, {"send": "getty"}, {"expect": "getty$"}, {"login": {"user": "ann", "password": SECRET}}),
        console(name, {"send": "wc -c"}, {"send": "x" * 4000}, {"send": "\x04", "enter": False}, {"expect": r"^\s*(\d+)$"}, {"run": "true"}),
        console(
            name,
            {"send": "for i in 1 2 3; do echo -n 'more? '; read a; echo got-$a; done; echo all-$a"},
            {"expect": "^all-yes", "answers": {r"more\? \Z": "yes"}, "fail_on": "^got-no"},
        ),
        console(name, {"run": "echo before"}, {"run": "ls /nowhere"}),
        console(name, {"run": f"echo {SECRET}-2", "no_log": True}, {"expect": "^never", "timeout": 1}, {"run": "true"}),
    )
    many, plain, hidden = seen(ran)
    assert many["output"] == "".join(f"line {number} of many that are written\n" for number in range(1, LINES + 1)) and many["rc"] == 0
    assert plain["output"] == "a  b" and hidden.keys() == {"step", "seconds", "rc"}
    spoken = seen(entered)[3]["seen"]
    assert spoken.index("Password: ") < spoken.index("A word of the kernel") < spoken.index("ann is in")
    assert seen(typed)[3]["groups"] == ["4001"]
    assert seen(installer)[1]["answered"] == [r"more\? \Z"] * 3
    assert failed["failed"] and failed["rc"] == 1 and "exit code 1" in failed["msg"] and "/nowhere" in failed["msg"]
    assert [step["output"] for step in failed["steps"]] == ["before\n"] and any("ls: /nowhere" in line for line in failed["serial"])
    assert late["failed"] and "steps[1] (expect '^never')" in late["msg"] and len(late["serial"]) == 40 and len(late["steps"]) == 1
    assert SECRET not in json.dumps([ran, entered, late]), "of this task or of one before"


def who_comes_second(home, name):
    first = home.begin(console(name, {"run": "sleep 6; echo slept"}))
    time.sleep(3)
    (second,) = [home.play(console(name, {"run": "true"}, timeout=0.5))]
    (slept,) = seen(home.end(first))
    assert slept["output"] == "slept\n"
    assert second["failed"] and "another task is at its serial console: pid" in second["msg"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(home.sockets(name) / "serial.sock"))
        foreign = home.play(console(name, {"run": "true"}, timeout=0.5))
    assert foreign["failed"] and "another client is connected to its serial console" in foreign["msg"]


def guests_that_stand_still(home, name):
    planned, wrong, unknown, _paused, still, _runs, off, stopped, check = home.play(
        console(name, {"send": "reboot"}, check=True),
        console(name, {"expect": "("}),
        console("nobody", {"expect": "x"}),
        vm(name, state="paused"),
        console(name, {"expect": "x"}),
        vm(name),
        console(name, {"run": "true"}, {"send": "poweroff -f"}, {"expect": "never"}),
        console(name, {"expect": "x"}),
        console(name, {"expect": "x"}, check=True),
    )
    assert planned["changed"] and planned["steps"] == [] and not planned["failed"]
    assert wrong["failed"] and "no regular expression" in wrong["msg"]
    assert unknown["failed"] and "there is no machine 'nobody'" in unknown["msg"]
    assert still["failed"] and "it is paused" in still["msg"]
    assert off["failed"] and "its guest ended it (guest-shutdown)" in off["msg"]
    assert stopped["failed"] and check["failed"] and "the machine does not run" in stopped["msg"]
    assert home.play(vm(name, state="absent"), qmp(name, "query-status"))[1]["failed"] and not home.traces(name)
