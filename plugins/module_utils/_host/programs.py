# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs of a network, run by the user's systemd or as plain processes.

Each is started by a script that leaves its pid beside the network's sockets, so that whether it lives is told by two small
files of ``/proc``, and no systemd is asked.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .._errors import HostError, StartError
from .._plan.network import NetworkRecord
from .._plan.program import QEMU, SWITCH, Program
from . import detached
from .command import find_program
from .deadline import Deadline
from .liveness import command_line_of
from .paths import last_words, write_private

if TYPE_CHECKING:
    from .host import Host
    from .systemd import Properties, Systemd

_PAUSE = 0.01
_GRACE_SECONDS = 1.0
_STOP_SECONDS = 10
_RESTART_SECONDS = 0.2
# A link's other end may be away for hours.
_LINK_SECONDS = 2.0
_MICRO = 1_000_000
_HINTS = {
    "vde_switch": "Install the package that has it (vde-switch on Debian), or use driver: hub",
    "vde_plug": "Install the package that has it (vdeplug on Debian)",
    "dpipe": "Install the package that has it (vdeplug on Debian)",
    "ssh": "Install the package openssh-client",
}
# vde_switch ends when its standard input does, so that is a pipe whose other end is its own. dpipe makes a process group
# (setpgrp(2)), which no leader of a session may. A link is tried for hours: of the tries before, its log keeps the last words.
_SCRIPT = r"""name=$1 run=$2 pid=$2/$1.pid
. "${0%/*}/$name.command"
case $name in
link-*)
    log=${0%/*}/$name.log
    words=$(grep -v "^maqet: " "$log" | tail -n 1)
    printf '%s\n' "$words" >"$log"
    "$@" &
    echo $! >"$pid"
    wait $! ;;
*)
    echo $$ >"$pid"
    exec "$@" <>"$run/stdin" ;;
esac
"""


class Living(NamedTuple):
    """:param start: when it began, in the kernel's ticks: with the pid, who it is."""

    pid: int
    start: int
    argv: list[str]

    @property
    def who(self) -> str:
        return f"{self.pid}.{self.start}"


def living(run_dir: str, name: str) -> Living | None:
    """A network's program, if it runs."""
    try:
        with open(f"{run_dir}/{name}.pid", encoding="ascii") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            facts = file.read().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    argv = command_line_of(pid)
    # A pid that has become another process's names nothing of ours; a link's last words are for the other host.
    ours = any(run_dir in word or run_dir.rpartition("/")[2] in word for word in argv)
    return Living(pid, int(facts[19]), argv) if ours and facts[0] not in "ZX" else None


def find_programs(record: NetworkRecord) -> None:
    """
    :raises HostError: one that the network needs is not installed.
    """
    for program in record.programs.values():
        _found(program)


def find_any_qemu() -> str:
    """One of this host's own kind where it has it, else any: no machine is in it."""
    for arch in dict.fromkeys((os.uname().machine, "x86_64", "aarch64")):
        with suppress(HostError):
            return find_program(f"qemu-system-{arch}")
    raise HostError("no QEMU is installed", hint="Install the package that has it (qemu-system-x86 on Debian)")


def _found(program: Program) -> list[str]:
    """Its arguments with its path."""
    first, *rest = program.argv
    if first == "dpipe":
        for word in ("vde_plug", "ssh"):
            find_program(word, _HINTS[word])
    return [find_any_qemu() if first == QEMU else find_program(first, _HINTS.get(first, "")), *rest]


def command_file(record: NetworkRecord, name: str) -> str:
    return f"{record.directory}/{name}.command"


def write_command(record: NetworkRecord, name: str, argv: list[str]) -> None:
    """What is run under that name from its next start on."""
    write_private(command_file(record, name), f"set -- {shlex.join(argv)}\n", durable=False)


async def start(host: Host, record: NetworkRecord, program: Program, more: list[str]) -> None:
    """Start it; that it listens is seen to by others. ``more``: further arguments of this start."""
    directory, run_dir = record.directory, record.run_dir
    with suppress(FileExistsError):
        os.mkfifo(f"{run_dir}/stdin", 0o600)
    for path in (log_of(record, program.name), f"{run_dir}/{program.name}.pid"):
        with suppress(FileNotFoundError):
            os.unlink(path)
    write_private(f"{directory}/unit.sh", _SCRIPT, durable=False)
    write_command(record, program.name, [*_found(program), *more])
    if record.supervisor == "systemd":
        await _systemd(host, record).run_unit(record.unit_of(program.name), _properties(record, program), [])
    else:
        await asyncio.to_thread(_start_process, record, program)


def _properties(record: NetworkRecord, program: Program) -> Properties:
    from .systemd import SLICE, literal

    log = log_of(record, program.name)
    words = ["/bin/sh", f"{record.directory}/unit.sh", program.name, record.run_dir]
    bound: Properties = [(name, ("as", [record.unit])) for name in ("PartOf", "After")] if program.name != SWITCH else []
    return [
        ("Description", ("s", f"maqet network {record.name}: {program.title}")),
        ("Slice", ("s", SLICE)),
        ("CollectMode", ("s", "inactive-or-failed")),
        *bound,
        ("Type", ("s", "exec")),
        ("ExecStart", ("a(sasb)", [("/bin/sh", [literal(word) for word in words], False)])),
        ("Restart", ("s", "always" if program.lasting else "on-failure")),
        ("RestartUSec", ("t", int((_LINK_SECONDS if program.lasting else _RESTART_SECONDS) * _MICRO))),
        *([("StartLimitIntervalUSec", ("t", 0))] if program.lasting else []),
        ("StandardOutputFileToAppend", ("s", log)),
        ("StandardErrorFileToAppend", ("s", log)),
        ("NoNewPrivileges", ("b", True)),
        ("UMask", ("u", 0o077)),
        ("TimeoutStopUSec", ("t", _STOP_SECONDS * _MICRO)),
    ]


def _start_process(record: NetworkRecord, program: Program) -> None:
    argv = ["/bin/sh", f"{record.directory}/unit.sh", program.name, record.run_dir]
    detached.start_logged(argv, program.argv[0], log_of(record, program.name))


async def stop(host: Host, record: NetworkRecord, name: str) -> None:
    """See that it has ended and is not started again; with the switch ends all that is bound to it."""
    if record.supervisor == "systemd":
        await _systemd(host, record).stop(record.unit_of(name))
    else:
        _end_scripts(record, name)
    names = known(record.run_dir) if name == SWITCH else [name]
    for each in names:
        await _end_process(record.run_dir, each)
        with suppress(FileNotFoundError):
            os.unlink(f"{record.run_dir}/{each}.pid")


def _end_scripts(record: NetworkRecord, name: str) -> None:
    """Those that a task which was killed had just started, and that have not left their pids yet."""

    def is_one(pid: int) -> bool:
        words = command_line_of(pid)[-3:]
        return words[:1] == [f"{record.directory}/unit.sh"] and words[2:] == [record.run_dir] and name in (SWITCH, words[1])

    for pid in filter(is_one, map(int, filter(str.isdigit, os.listdir("/proc")))):
        detached.send_signal(pid, partial(is_one, pid), signal.SIGKILL)


async def _end_process(run_dir: str, name: str) -> None:
    deadline = Deadline(_GRACE_SECONDS)
    while True:
        found = living(run_dir, name)
        if not found:
            return
        _signal(run_dir, name, found, signal.SIGKILL if deadline.over else signal.SIGTERM)
        await asyncio.sleep(_PAUSE)


def _signal(run_dir: str, name: str, found: Living, number: signal.Signals) -> None:
    """dpipe's commands are a group of its own."""

    def is_it() -> bool:
        return living(run_dir, name) == found

    with suppress(ProcessLookupError):
        if name.startswith("link-") and os.getpgid(found.pid) == found.pid and is_it():
            os.killpg(found.pid, number)
            return
    detached.send_signal(found.pid, is_it, number)


def known(run_dir: str) -> list[str]:
    """Programs that were ever started and not stopped."""
    try:
        return sorted(entry[: -len(".pid")] for entry in os.listdir(run_dir) if entry.endswith(".pid"))
    except OSError:
        return []


async def will_return(host: Host, record: NetworkRecord, name: str) -> bool:
    """Whether systemd is about to start it again."""
    if record.supervisor != "systemd" or not os.path.exists(f"{record.run_dir}/{name}.pid"):
        return False
    try:
        systemd = _systemd(host, record)
    except HostError:
        return False
    unit = record.unit_of(name)
    return not (await systemd.facts([unit]))[unit].at_rest


def start_error(record: NetworkRecord, program: Program) -> StartError:
    log = log_of(record, program.name)
    words = last_words(log)
    said = f": {words[-1]}" if words else ""
    return StartError(f"the network's {program.name} ended before it could be used{said}", hint=f"Its log is {log}", argv=program.argv, log=words)


def _systemd(host: Host, record: Any) -> Systemd:
    systemd: Systemd = host.supervisor(record)  # type: ignore[assignment]
    return systemd


def log_of(record: NetworkRecord, name: str) -> str:
    return f"{record.directory}/{name}.log"
