# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source of ansible-rulebook: in this process, with the queue that it has there, or as a program of its own that can be killed."""

from __future__ import annotations

import asyncio
import json
import runpy
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

from . import look
from .wire import Wire

PATH = Path(__file__).parents[2] / "extensions/eda/plugins/event_source/events.py"


def names():
    """What is in the file, loaded as ansible-rulebook does."""
    return runpy.run_path(str(PATH))


@asynccontextmanager
async def source(*, feedback=None, **args):
    """The queue that the source fills meanwhile."""
    queue = asyncio.Queue(1)
    if feedback:
        args["eda_feedback_queue"] = feedback
    work = asyncio.ensure_future(names()["main"](queue, args))
    try:
        await asyncio.sleep(0.3)
        if work.done():
            work.result()
        yield queue
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def take(queue, count=None, quiet=1.0):
    """That many events, or all until none comes for a while."""
    taken = []
    while count is None or len(taken) < count:
        try:
            taken.append(await asyncio.wait_for(queue.get(), quiet if count is None else 10))
        except asyncio.TimeoutError:
            assert count is None, f"{len(taken)} events came of {count}: {taken[-5:]}"
            break
    return taken


class Program:
    """The source tried out by hand: it prints what it tells."""

    def __init__(self, home, file, **args):
        self.file = file
        self._out = open(file, "w", encoding="utf-8")  # noqa: SIM115
        self._process = subprocess.Popen([sys.executable, "-I", str(PATH), json.dumps(args)], env=home.environment, stdout=self._out, stderr=subprocess.STDOUT)

    @property
    def told(self):
        return [json.loads(line) for line in self.file.read_text().splitlines(keepends=True) if line.endswith("}\n")]

    def await_told(self, count):
        look.wait_until(lambda: len(self.told) >= count or self._process.poll() is not None)
        assert self._process.poll() is None, self.file.read_text()

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._out.close()


def flip(home, name, times, pause=0.0):
    """Two events each: STOP and RESUME; as the user's own monitor saw them."""
    with Wire(home.sockets(name) / "monitor.sock") as wire:
        for _time in range(times):
            wire.ask("stop")
            wire.ask("cont")
            time.sleep(pause)
        wire.ask("query-status")
        assert len(wire.events) == 2 * times
        return [key(event) for event in wire.events]


def key(event):
    return event["event"], event["timestamp"]["seconds"], event["timestamp"]["microseconds"]
