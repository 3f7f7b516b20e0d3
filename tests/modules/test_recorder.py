# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The flight recorder: read from a cursor on, kept small while it is written, put aside, torn; and what it tells of the past."""

from __future__ import annotations

import os
import signal
import threading
import time

from ansible_collections.maqet.qemu.plugins.module_utils._engine import Engine
from ansible_collections.maqet.qemu.plugins.module_utils._host import bounded, recorder
from ansible_collections.maqet.qemu.plugins.module_utils._host.glance import Choice
from ansible_collections.maqet.qemu.plugins.module_utils._survey import Question, survey
from ansible_collections.maqet.qemu.tests.harness import look, wire
from ansible_collections.maqet.qemu.tests.harness.engine import host_of, reach
from ansible_collections.maqet.qemu.tests.harness.home import task
from ansible_collections.maqet.qemu.tests.modules.test_wait import in_vain, met, monitor, waited


def info(home, name, **question):
    """One machine's item, by maqet_vm_info's own work in this process."""
    host = host_of(home)
    try:
        ((item,), _warnings) = survey(Question(Choice([name]), **question), engine=Engine(host))
        return item
    finally:
        host.store.close()


def names(lines):
    return [line.item["event"] for line in lines if "event" in line.item]


def stop_and_go(home, name, times):
    with wire.Wire(monitor(home, name)) as session:
        for _number in range(times):
            session.ask("stop")
            session.ask("cont")


def test_nothing_is_lost_or_doubled_while_the_head_is_freed(home):
    """A thousand events, read by a follower and by a task that counts, and a head that is freed again and again."""
    name, limit = home.name(), 256 << 10
    home.started(name)
    directory = str(home.directory(name))
    stop_and_go(home, name, 1500)
    begin, before, seen = recorder.position(directory), str(time.time()), []
    cursor = begin
    burst = threading.Thread(target=stop_and_go, args=(home, name, 500))
    burst.start()
    while burst.is_alive() or len(seen) < 1000:
        lines, cursor = recorder.read(directory, cursor, limit)
        seen += lines
    burst.join()
    assert names(seen) == ["STOP", "RESUME"] * 500 and len({line.cursor for line in seen}) == 1000
    file = os.stat(recorder.events_file(directory))
    assert file.st_blocks * 512 <= limit < file.st_size and recorder.last_boot(directory).events.offset < 4096
    both = [{"event": {"name": word, "count": 500}} for word in ("STOP", "RESUME")]
    answer = waited(home, name, *both, since=str(begin), timeout=2)
    assert met(answer) == [True, True] and answer.conditions[1]["found"]["cursor"] == str(seen[-1].cursor)
    more = [{"event": {"name": word, "count": 501}} for word in ("STOP", "RESUME")]
    assert "500 of 501 came" in in_vain(home, name, *more, since=before, timeout=0.5).message
    # Who reads from the start reads no hole.
    begun = time.monotonic()
    assert len(names(recorder.read(directory)[0])) < 4000 and time.monotonic() - begun < 1


def test_a_file_that_is_too_long_is_put_aside_and_read_on(home, supervisor):
    name = home.name()
    home.started(name, supervisor=supervisor)
    directory = str(home.directory(name))
    stop_and_go(home, name, 5)
    cursor = recorder.read(directory)[1]
    reach(home, name, state="stopped", force=True)
    log = home.directory(name) / "serial.log"
    for file in (recorder.events_file(directory), str(log)):
        os.truncate(file, 65 << 20)
    reach(home, name, state="started")
    stop_and_go(home, name, 1)
    assert os.stat(recorder.events_file(directory)).st_size < 4096 and os.stat(f"{log}.1").st_size == 65 << 20
    lines, end = recorder.read(directory, cursor)
    assert names(lines) == ["SHUTDOWN", "STOP", "RESUME"] and end.inode != cursor.inode
    assert names(recorder.read(directory, end)[0]) == [] and recorder.read(directory, end)[1] == end
    assert names(recorder.read(directory)[0]).count("STOP") == 6
    assert met(waited(home, name, {"event": {"name": "RESUME", "count": 1}}, {"status": "running"})) == [True, True]


def test_crashes_and_torn_lines(home):
    name = home.name()
    home.started(name, supervisor="systemd")
    directory, first = str(home.directory(name)), home.pid(name)
    stop_and_go(home, name, 1)
    with open(recorder.events_file(directory), "a", encoding="ascii") as file:
        file.write('{"timestamp": {"seconds": 17')
    assert names(recorder.read(directory)[0]) == ["STOP", "RESUME"]
    os.kill(first, signal.SIGKILL)
    look.wait_until(lambda: home.qemus(name) not in ([], [first]) and monitor(home, name).exists())
    time.sleep(0.3)
    stop_and_go(home, name, 1)
    assert names(recorder.read(directory)[0]) == ["STOP", "RESUME"] * 2
    (crash,) = info(home, name)["troubles"]
    assert crash["what"] == "crash" and abs(crash["time"] - time.time()) < 60
    with open(recorder.events_file(directory), "a", encoding="ascii") as file:
        file.write('{"timestamp": {"seconds": 1772366400, "microseconds": 5}, "event": "GUEST_PANICKED", "data": {"action": "pause"}}\r\n')
    reach(home, name, state="restarted", force=True)
    assert [item["what"] for item in info(home, name)["troubles"]] == ["crash", "panic"]
    reach(home, name, state="stopped", force=True)
    assert [item["what"] for item in info(home, name)["troubles"]] == ["crash", "panic"]


def test_events_since(home):
    name = home.name()
    home.started(name, labels={"role": "db"})
    stop_and_go(home, name, 10)
    item = info(home, name, events=None)
    assert len(item["events"]) == 10 and item["troubles"] == []
    assert {key: item["events"][-1][key] for key in ("event", "vm", "lab", "labels", "cursor")} == {
        "event": "RESUME",
        "vm": name,
        "lab": "",
        "labels": {"role": "db"},
        "cursor": item["cursor"],
    }
    stop_and_go(home, name, 10)
    after, start, timed, wrong = home.play(
        task("maqet_vm_info", name=[name], events_since=item["cursor"]),
        task("maqet_vm_info", name=[name], events_since="start", events=3),
        task("maqet_vm_info", name=[name], events_since=str(time.time() + 60)),
        task("maqet_vm_info", name=[name], events_since="yesterday"),
    )
    assert [event["event"] for event in after["vms"][0]["events"]] == ["STOP", "RESUME"] * 10
    assert len(start["vms"][0]["events"]) == 3 and timed["vms"][0]["events"] == []
    assert wrong["failed"] and "events_since: 'yesterday' is no time" in wrong["msg"]


def test_a_serial_log_is_kept_small(home):
    name = home.name()
    home.started(name)
    log = home.directory(name) / "serial.log"
    with open(log, "ab") as file:
        file.write(b"0123456789abcdef\r\n" * ((bounded.LIMIT + (1 << 20)) // 18) + b"login: \r\n")
    assert met(waited(home, name, {"serial": "^login: $"})) == [True]
    assert os.stat(log).st_blocks * 512 <= bounded.LIMIT < os.stat(log).st_size
    assert log.read_bytes()[-9:] == b"login: \r\n" and log.read_bytes().strip(b"\0").startswith(b"0123456789abcdef\r\n")
