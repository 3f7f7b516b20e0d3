# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source of ansible-rulebook, with real machines: nothing lost, nothing twice, whoever is killed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import threading
import time
from contextlib import closing

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._host import bounded, recorder
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.engine import reach
from ansible_collections.maqet.qemu.tests.harness.events import Program, flip, key, source, take
from ansible_collections.maqet.qemu.tests.harness.wire import ask


@pytest.fixture
def home(home, monkeypatch):
    """Where the source finds its machines."""
    for variable, folder in home.environment.items():
        if variable.startswith("XDG_"):
            monkeypatch.setenv(variable, folder)
    return home


def declare(home, name, **wish):
    return reach(home, name, supervisor="process", **wish)


def keys(events):
    return [key(event) for event in events]


def cursors(home, word="default"):
    stored = json.loads((home.state / f"maqet/eda/{word}.json").read_text())
    return {item["name"]: item["cursor"] for item in stored.values()}


def test_a_burst(home):
    """1,000 events of each of two machines, taken as fast as they come and slower; what the queue held is told again, no more."""
    first, second = home.name("a"), home.name("b")
    declare(home, first, raw={"memory": "64MiB", "labels": {"role": "db"}})
    declare(home, second, raw={"memory": "64MiB"})

    async def run():
        async with source() as queue:
            work = [asyncio.to_thread(flip, home, name, 500) for name in (first, second)]
            taken, *done = await asyncio.gather(take(queue), *work)
            for name, seen in zip((first, second), done):
                assert keys(event for event in taken if event["vm"] == name) == seen
            assert len({event["meta"]["uuid"] for event in taken}) == 2000
            last = [event for event in taken if event["vm"] == first][-1]
            assert {name: last[name] for name in ("event", "data", "lab", "labels")} == {"event": "RESUME", "data": {}, "lab": "", "labels": {"role": "db"}}
            (recorded,) = recorder.last_events(str(home.directory(first)), 1)
            assert cursors(home)[first] == last["cursor"] == str(recorded.cursor)
            seen = flip(home, first, 500)
            taken = await take(queue, 300)
            await asyncio.sleep(0.6)  # the next lies in the queue, the one after it waits for room
        async with source() as queue:
            assert keys(taken + await take(queue)) == seen

    asyncio.run(run())


def test_what_was_freed(home):
    """Holes at the head and behind a mark that was kept; lines that are no events; the last one is still being written."""
    name = home.name()
    declare(home, name, raw={"memory": "64MiB"}, state="present")
    lines = [json.dumps({"timestamp": {"seconds": number, "microseconds": 0}, "event": "RTC_CHANGE", "data": {"offset": number}}) for number in range(9000)]
    lines[1000], lines[8000], lines[8001] = '{"serial": 5}', '{"timestamp": {"seco{"serial": 7}', "[]"
    file = home.directory(name) / "events.jsonl"
    file.write_text("\r\n".join(lines) + "\r\n" + lines[1][:-5])
    places = [sum(len(line) + 2 for line in lines[:number]) for number in (0, 1000, 1001, 7000)]
    for begin, end in ((places[0], places[1]), (places[2], places[3])):
        subprocess.run(["fallocate", "--punch-hole", "--offset", str(begin), "--length", str(end - begin), str(file)], check=True)

    async def run():
        async with source(since=0) as queue:
            told = [event["data"]["offset"] for event in await take(queue)]
            assert told == [number for number in range(7000, 9000) if number not in (8000, 8001)]
            with open(file, "a", encoding="utf-8") as more:
                more.write(lines[1][-5:] + "\r\n")
            assert [event["data"]["offset"] for event in await take(queue)] == [1]

    asyncio.run(run())


def test_killed_again_and_again(home, tmp_path):
    """In the middle of bursts, while the file's head is freed, and where the file is begun anew: with nobody there, and before the source's eyes."""
    name = home.name()
    declare(home, name, raw={"memory": "64MiB"})
    file = home.directory(name) / "events.jsonl"
    seen, told = [], []

    def run(number, act=lambda: None):
        program = Program(home, tmp_path / f"told-{number}", cursor="program", since="start")
        work = threading.Thread(target=lambda: seen.extend(flip(home, name, 250, pause=0.004)))
        work.start()
        program.await_told(100)
        act()
        program.kill()
        work.join()
        told.append(keys(program.told))

    def free_the_head():
        taken = int(cursors(home, "program")[name].partition(":")[2])
        subprocess.run(["fallocate", "--punch-hole", "--offset", "0", "--length", str(taken), str(file)], check=True)

    def begin_anew():
        reach(home, name, state="stopped", force=True)
        seen.append(key(next(line for line in map(json.loads, file.read_text().splitlines()[-3:]) if line.get("event") == "SHUTDOWN")))
        bounded.begin_anew(str(file), 0)
        reach(home, name, state="started")

    run(1)
    run(2, free_the_head)
    begin_anew()
    run(3)
    program = Program(home, tmp_path / "told-4", cursor="program")
    seen += flip(home, name, 1)
    look.wait_until(lambda: seen[-1] in keys(program.told))
    begin_anew()
    seen += flip(home, name, 1)
    look.wait_until(lambda: seen[-1] in keys(program.told))
    program.kill()
    told.append(keys(program.told))
    assert {item for run in told for item in run} == set(seen) and len(seen) == 1506
    for one in told:
        assert one == sorted(one, key=lambda item: item[1:]) and len(one) == len(set(one))


def test_machines_come_and_go(home):
    """Of one that comes everything is told, of one that goes the last; which are meant changes meanwhile, and while nobody listens."""
    old, other, late, later = (home.name(word) for word in ("old", "other", "late", "later"))
    shop = {"lab": "shop"}
    raw = {"memory": "64MiB"}
    declare(home, old, raw={**raw, "labels": shop})
    declare(home, other, raw=raw)
    flip(home, old, 1)
    flip(home, other, 1)

    async def run():
        async with source(lab="shop", events=["STOP", {"event": "SHUTDOWN", "match": {"guest": False}}]) as queue:
            await asyncio.to_thread(declare, home, late, raw={**raw, "labels": {**shop, "role": "db"}}, state="paused")
            ask(home.sockets(late) / "monitor.sock", "cont")
            flip(home, late, 1)
            (event,) = await take(queue)
            assert (event["vm"], event["lab"], event["labels"]["role"], event["event"]) == (late, "shop", "db", "STOP")
            await asyncio.to_thread(declare, home, late, state="absent", force=True)
            (event,) = await take(queue)
            assert (event["vm"], event["event"], event["data"]) == (late, "SHUTDOWN", {"guest": False, "reason": "host-qmp-quit"})
            # What it did before it was meant is nobody's business.
            await asyncio.to_thread(declare, home, other, raw={**raw, "labels": shop})
            await asyncio.sleep(1)
            seen = flip(home, other, 1)[:1] + flip(home, old, 1)[:1]
            assert sorted(key(event) for event in await take(queue)) == sorted(seen)
        await asyncio.to_thread(declare, home, later, raw={**raw, "labels": shop})
        seen = flip(home, later, 1)[:1] + flip(home, old, 1)[:1]
        async with source(lab=["shop", "no-such"], events="STOP") as queue:
            assert sorted(keys(await take(queue))) == sorted(seen)
            assert set(cursors(home)) == {old, other, later}
        async with source(labels={"lab": "shop"}, name=[later], cursor="another", since="start", events=["S*"]) as queue:
            assert keys(await take(queue)) == seen[:1]
        async with source(cursor="", since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seen[0][1])), interval=0.05) as queue:
            told = await take(queue)
            assert seen[0] in keys(told) and min(key(event)[1] for event in told) >= seen[0][1]

    asyncio.run(run())
    assert {path.name for path in (home.state / "maqet/eda").glob("*.json")} == {"default.json", "another.json"}


def test_what_the_rule_engine_stored(home):
    """With feedback that alone moves the cursor; what was put before it and never came, a filter dropped."""
    name = home.name()
    declare(home, name, raw={"memory": "64MiB"})

    async def run():
        feedback = asyncio.Queue(1)
        async with source(feedback=feedback) as queue:
            seen = flip(home, name, 4)
            taken = await take(queue)
            assert keys(taken) == seen
            await feedback.put(taken[5])
            await asyncio.sleep(0.6)
        async with source(feedback=asyncio.Queue(1)) as queue:
            again = await take(queue)
            assert keys(again) == seen[6:] and [event["meta"] for event in again] == [event["meta"] for event in taken[6:]]

    asyncio.run(run())


def test_trouble(home):
    """A DB that is busy, torn or closed; a cursor that is in use, or was written by somebody else."""
    name = home.name()
    declare(home, name, raw={"memory": "64MiB"})
    database, kept = home.state / "maqet/state.db", home.state / "maqet/eda/default.json"

    async def told(**args):
        async with source(cursor="", **args) as queue:
            await asyncio.sleep(1)
            seen = flip(home, name, 1)
            return keys(await take(queue)) == seen

    async def run():
        async with source():
            with pytest.raises(ValueError, match="cursor: 'default' is in use by another source"):
                async with source():
                    pass
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            async with source(cursor="", since="start") as queue:
                flip(home, name, 1)
                assert await take(queue) == []
                connection.execute("COMMIT")
                assert len(await take(queue, 2)) == 2
        kept.write_text("[]")
        with pytest.raises(RuntimeError, match="remove it, and the source begins anew"):
            async with source():
                pass
        database.rename(f"{database}.aside")
        database.mkdir()
        with pytest.raises(RuntimeError, match=r"state\.db cannot be read"):
            async with source(cursor=""):
                await asyncio.sleep(1)
        database.rmdir()
        database.write_bytes(b"torn " * 1000)
        assert await told()
        database.unlink()
        assert await told()

    asyncio.run(run())
