# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs beside a machine's QEMU: found on this host, and run as plain processes where there is no systemd."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import time
from contextlib import suppress
from functools import partial
from typing import Any

from .._errors import HostError, StartError
from .._plan.record import Record
from .._spec.declaration import helpers
from .._spec.helper import Helper
from . import detached
from .command import find_program
from .liveness import command_line_of
from .paths import last_words, make_private, write_private
from .supervisor import Service, helper_log

# Not everybody's PATH leads to these. /usr/lib/qemu has the one in C of QEMU up to 7.2, which sets groups and so needs root.
_PLACES = {"virtiofsd": ("/usr/libexec/virtiofsd", "/usr/lib/virtiofsd")}
_HINTS = {
    "swtpm": "Install the package swtpm",
    "virtiofsd": "Install the package virtiofsd (in Debian since 13); the one that QEMU brought along up to 7.2 needs root",
    "passt": "Install the package passt, or use network: user",
}
_START_SECONDS = 10.0
_GRACE_SECONDS = 0.5
_PAUSE = 0.01


def find_helper(helper: Helper) -> Helper:
    """The same with its program's path.

    :raises HostError: it is not installed.
    """
    program, *words = helper.argv
    places = [place for place in _PLACES.get(program, ()) if os.access(place, os.X_OK)]
    try:
        return helper._replace(argv=[places[0] if places else find_program(program, _HINTS.get(program, "")), *words])
    except HostError as exc:
        raise HostError(f"{helper.option}: {exc.message}", hint=exc.hint, path=helper.option) from exc


def prepare(service: Service) -> None:
    """Their folders, and logs that begin with this start."""
    for helper in service.helpers:
        if helper.folder:
            make_private(helper.folder)
        for path in (helper_log(service, helper), helper.socket):
            with suppress(FileNotFoundError):
                os.unlink(path)


def explain(service: Service, error: StartError) -> None:
    """Where QEMU did not start for want of a helper, the error tells of the helper instead."""
    said = "\n".join(error.data.get("log", ()))
    for helper in service.helpers:
        if helper.socket in said:
            cause = _error(service, helper)
            error.message, error.hint, error.data = cause.message, cause.hint, cause.data
            return


def _error(service: Service, helper: Helper) -> StartError:
    log = helper_log(service, helper)
    words = last_words(log)
    said = f": {words[-1]}" if words else ""
    program = os.path.basename(helper.argv[0])
    return StartError(f"{helper.option}: {program} ended before QEMU could use it{said}", hint=f"Its log is {log}", argv=helper.argv, log=words)


def start_processes(service: Service) -> None:
    """Start them in sessions of their own and wait until each listens. They end when QEMU closes its connection.

    :raises StartError: one ended before.
    """
    write_private(_list_file(service.directory), json.dumps([helper.argv for helper in service.helpers]), durable=False)
    for helper in service.helpers:
        detached.start_logged(helper.argv, helper.argv[0], helper_log(service, helper), cwd=service.directory)
    begun = time.monotonic()
    for helper in service.helpers:
        while not _listens(helper.socket):
            waited = time.monotonic() - begun
            if waited > _START_SECONDS or (waited > _GRACE_SECONDS and not _pids(helper.argv)):
                raise _error(service, helper)
            time.sleep(_PAUSE)


async def end_processes(directory: str) -> None:
    """End what is left of the machine's helpers, now that its QEMU has ended."""
    try:
        with open(_list_file(directory), encoding="utf-8") as file:
            commands = json.load(file)
    except FileNotFoundError:
        return
    except ValueError:
        commands = []
    begun = time.monotonic()
    while True:
        pids = {pid: argv for argv in commands for pid in _pids(argv)}
        if not pids:
            break
        for pid, argv in pids.items():
            number = signal.SIGTERM if time.monotonic() - begun < _GRACE_SECONDS else signal.SIGKILL
            detached.send_signal(pid, partial(_is, pid, argv), number)
        await asyncio.sleep(_PAUSE)
    os.unlink(_list_file(directory))


def orphans(record: Record, spec: dict[str, Any]) -> set[str]:
    """The devices of the running machine whose helper has ended."""

    def runs(helper: Helper) -> bool:
        # systemd removes the socket of one that has ended.
        return _listens(helper.socket) if record.supervisor == "systemd" else bool(_pids(helper.argv))

    return {helper.device for helper in helpers(spec, record.site()) if not runs(helper)}


def _pids(argv: list[str]) -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _is(int(entry), argv)]


def _is(pid: int, argv: list[str]) -> bool:
    """Whether the process has these arguments, among which is the path of the machine's socket. Programs may exchange
    themselves for another, as passt does, so the first word is not compared."""
    return command_line_of(pid)[1 - len(argv) :] == argv[1:]


def _listens(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _list_file(directory: str) -> str:
    return f"{directory}/helpers.json"
