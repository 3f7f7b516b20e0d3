# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots as guests see them: they count on from the saved number, their file systems stand still and go on."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket

from ansible_collections.maqet.qemu.tests.harness import look, wire
from ansible_collections.maqet.qemu.tests.harness.engine import Wish, reach, reach_all, snap

SECONDS = 90


def serial(home, name):
    return (home.directory(name) / "serial.log").read_text(errors="replace")


def ticks(home, name):
    return [int(number) for number in re.findall(r"tick (\d+)\r?\n", serial(home, name))]


def await_ticks(home, name, count):
    look.wait_until(lambda: len(ticks(home, name)) >= count, SECONDS)


def moments(home, name, event):
    """When QEMU said so, by its own recorder."""
    stamps = [line["timestamp"] for line in look.recorded(home.directory(name)) if line.get("event") == event]
    return [stamp["seconds"] + stamp["microseconds"] / 1e6 for stamp in stamps]


def saved_ticks(home, names, **machines):
    """The last numbers before a snapshot, read when all stand still."""
    saved = []
    snap(home, **machines, ram=True, witness=lambda moment: saved.extend(ticks(home, name)[-1] for name in names) if moment == "stopped" else None)
    return saved


def counting(boot, *words):
    return {"memory": "256MiB", "boot": {**boot, "cmdline": " ".join([boot["cmdline"], "ticks=0.2", *words])}, "disks": [{"name": "root", "size": "8MiB"}]}


def test_it_counts_on_from_the_saved_number_each_time(home, boot):
    """The same one. Into the QEMU that runs, into one that is started anew, and after the machine was suspended and its host forgot all."""
    name = home.name()
    home.started(name, "process", **counting(boot))
    await_ticks(home, name, 2)
    saved = saved_ticks(home, [name], name=name, label="counting")[0]
    firsts = []
    for before in (None, {"state": "stopped", "force": True}, {"state": "suspended"}):
        await_ticks(home, name, len(ticks(home, name)) + 2)
        if before:
            reach(home, name, **before)
        seen = len(ticks(home, name))
        snap(home, name, "counting", state="restored")
        await_ticks(home, name, seen + 2)
        after = ticks(home, name)[seen:]
        # What was printed between the last look and the end of the old guest comes first.
        after = after[after.index(min(after)) :]
        assert after == list(range(after[0], after[0] + len(after)))
        firsts.append(after[0])
    # The line that was being printed may be cut in two.
    assert set(firsts) in ({saved + 1}, {saved + 2}), (saved, firsts)
    assert serial(home, name).count("guest ready") == 1, "it never booted again"
    reach(home, name, state="suspended")
    shutil.rmtree(home.sockets(name).parent / home.sockets(name).name, ignore_errors=True)
    (home.directory(name) / "qemu.pid").write_text(f"{os.getpid()}\n")
    last = ticks(home, name)[-1]
    reach(home, name)
    await_ticks(home, name, len(ticks(home, name)) + 1)
    assert 0 < ticks(home, name)[-1] - last < 6


def test_a_lab_is_at_one_point(home, boot):
    names = [home.name(word) for word in "abc"]
    for name in names:
        home.started(name, "process", **counting(boot), labels={"lab": home.mark})
    for name in names:
        await_ticks(home, name, 2)
    saved = saved_ticks(home, names, lab=home.mark, label="all")
    stopped, resumed = [moments(home, name, "STOP")[-1] for name in names], [moments(home, name, "RESUME")[-1] for name in names]
    assert max(stopped) < min(resumed), "there is a moment at which all of them stood still"
    for name in names:
        await_ticks(home, name, len(ticks(home, name)) + 2)
    seen = [len(ticks(home, name)) for name in names]
    snap(home, lab=home.mark, label="all", state="restored")
    resumed = [moments(home, name, "RESUME")[-1] for name in names]
    assert max(resumed) - min(resumed) < 0.5, "they go on together"
    for name, count in zip(names, seen):
        await_ticks(home, name, count + 3)
    now = [ticks(home, name)[-1] for name in names]
    gained = [after - before for after, before in zip(now, saved)]
    assert max(gained) - min(gained) <= 3, (saved, now)


def test_file_systems_stand_still_and_go_on(home, boot):
    """Whatever becomes of the task, and whatever a client before it left half said."""
    name = home.name()
    home.started(name, "process", **counting(boot, "mounted"))
    look.wait_until(lambda: "guest ready" in serial(home, name), SECONDS)
    look.wait_until(lambda: agent_runs(home, name), SECONDS)
    with socket.socket(socket.AF_UNIX) as rude:
        rude.connect(str(home.sockets(name) / "agent.sock"))
        rude.sendall(b'{"execute": "guest-info", "id": "__qmp#00000"}\n{"execute": "guest-in')
    done = snap(home, name, "first", quiesce="yes")
    assert done.snapshots[name][0]["quiesced"] and "were frozen" in done.actions[0]["outcome"]
    assert said(home, name) == ["freeze", "thaw"]
    die_when(home, name, "stopped")
    look.wait_until(lambda: said(home, name) == ["freeze", "thaw"] * 2, 20)
    look.wait_until(lambda: wire.ask(home.sockets(name) / "monitor.sock", "query-status")["status"] == "running")
    (outcome,) = reach_all(home, [Wish(name)])
    assert outcome.error is None and [action["action"] for action in outcome.actions] == ["thaw"]
    assert snap(home, name, "second").changed and not reach(home, name).changed
    assert [item["name"] for item in look.disk(home.directory(name) / "root.qcow2")["snapshots"]] == ["first", "second"]
    assert said(home, name) == ["freeze", "thaw"] * 3


def agent_runs(home, name):
    channels = {item["label"]: item for item in wire.ask(home.sockets(name) / "monitor.sock", "query-chardev")}
    return channels["agent"]["frontend-open"]


def said(home, name):
    return re.findall(r"file systems (\w+)", serial(home, name))


def die_when(home, name, moment):
    child = os.fork()
    if not child:
        try:
            snap(home, name, "second", witness=lambda now: os.kill(os.getpid(), signal.SIGKILL) if now == moment else None)
        finally:
            os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
