# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a machine's QEMU lives, and its end.

QEMU writes its pid file and keeps a lock on it before it opens anything else: who holds that lock is the machine's
QEMU, whoever started it, and a second one ends before it touches the first one's sockets. A pid alone is never
trusted: a signal goes through a pidfd, opened before the lock is looked at again.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import time

from .deadline import Deadline

_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux


def living_pid(directory: str) -> int | None:
    """The pid of the QEMU that holds the machine's pid file."""
    try:
        descriptor = os.open(f"{directory}/qemu.pid", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(descriptor)
    kind, _whence, _start, _length, pid = struct.unpack(_FLOCK, answer)
    return pid if kind != fcntl.F_UNLCK else None


def send_signal(directory: str, number: signal.Signals) -> bool:
    """Signal the machine's QEMU, and nothing else; False when it is gone."""
    from . import detached

    pid = living_pid(directory)
    return pid is not None and detached.send_signal(pid, lambda: living_pid(directory) == pid, number)


async def wait_for_end(pid: int, deadline: Deadline) -> bool:
    """Whether the process ended before the deadline."""
    import asyncio  # half the time of a glance at two hundred machines

    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), deadline.left)
        return True
    except asyncio.TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def process_facts(pid: int) -> dict[str, str]:
    """``/proc/<pid>/status`` by key (``State``, ``NoNewPrivs``, ``Seccomp``, ``Umask``, …)."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    return {key: value.strip() for key, _colon, value in (line.partition(":") for line in lines)}


def age_of(pid: int) -> float:
    """Seconds since the process was started; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            started = int(file.read().rpartition(")")[2].split()[19])  # after the name, which may have any character
    except OSError:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def command_line_of(pid: int) -> list[str]:
    """A process's arguments; none when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="surrogateescape") as file:
            return file.read().split("\0")[:-1]
    except OSError:
        return []


def why_silent(pid: int) -> str:
    """Why a monitor may not answer, from what the process does."""
    return why_halted(pid) or "another client may hold our monitor, or QEMU is busy"


def why_halted(pid: int) -> str:
    """Why the process does nothing at all; empty when it may."""
    state = process_facts(pid).get("State", "")
    if state.startswith(("T", "t")):
        return "its process is stopped (kill -CONT wakes it)"
    return "its process waits for a disk" if state.startswith("D") else ""


def is_asleep(pid: int, threads: list[int]) -> bool:
    """Whether all of these threads wait for something."""
    return all(_thread(pid, thread)[:1] in (["S"], []) for thread in threads)


def cpu_seconds(pid: int, threads: list[int]) -> float:
    """The least that one of these threads has had of a CPU."""
    times = [_thread(pid, thread) for thread in threads]
    return min((int(fields[11]) + int(fields[12]) for fields in times if fields), default=0) / os.sysconf("SC_CLK_TCK")


def _thread(pid: int, thread: int) -> list[str]:
    """The fields of proc(5)'s stat from the state on; none when it is gone."""
    try:
        with open(f"/proc/{pid}/task/{thread}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []
