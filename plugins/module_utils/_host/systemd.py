# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines as transient units of the user's systemd."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .._errors import HostError
from . import powerdown
from .command import find_program, run
from .dbus import Manager, SystemdError, bus_socket
from .deadline import Deadline
from .paths import write_private
from .supervisor import Service, UnitFacts

_SLICE = "maqet.slice"
_DETAILS = {"Unit": ("ActiveEnterTimestamp",), "Service": ("Result", "MainPID", "NRestarts", "MemoryCurrent", "CPUUsageNSec", "Restart")}
# A unit file's words (systemd.resource-control(5), systemd.service(5)) as D-Bus has them (org.freedesktop.systemd1(5)).
_WORDS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "Restart": ("Restart", "s", str),
    "MemoryMax": ("MemoryMax", "t", int),
    "CPUQuota": ("CPUQuotaPerSecUSec", "t", lambda percent: int(percent.rstrip("%")) * 10_000),
    "CPUWeight": ("CPUWeight", "t", int),
    "IOWeight": ("IOWeight", "t", int),
}
_MICRO = 1_000_000
# Long enough for us to see the exit of a QEMU that cannot start, short enough for users of a crashed machine.
_RESTART_SECONDS = 0.5
# systemd counts from its own start of ExecStop=; ours ends first and says what it saw.
_STOP_MARGIN = 5
_STOP_SECONDS = 30
_PAUSE = 0.02


def why_unusable(runtime: str | None) -> str:
    """Why the user's systemd cannot be used; empty when it can."""
    if not runtime:
        return f"there is no runtime directory /run/user/{os.getuid()}"
    wanted = {"user manager": f"{runtime}/systemd/private", "message bus (package dbus-user-session)": bus_socket(runtime)}
    for what, path in wanted.items():
        reason = _why_deaf(path)
        if reason:
            return f"no {what} answers at {path}: {reason}"
    return ""


def _why_deaf(path: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(path)
        except OSError as exc:
            return exc.strerror or str(exc)
    return ""


class Systemd:
    """:param runtime: the user's runtime directory, where its manager listens."""

    restarts = True

    def __init__(self, runtime: str | None) -> None:
        reason = why_unusable(runtime)
        if reason:
            raise HostError(
                f"the user's systemd cannot be used: {reason}",
                hint="As root: loginctl enable-linger <user>; or apply the role maqet.qemu.host; or supervisor: process",
            )
        self._manager = Manager(str(runtime))

    async def close(self) -> None:
        await self._manager.close()

    async def start(self, service: Service) -> None:
        """Hand the machine to systemd, which starts it after this returns."""
        script = f"{service.directory}/powerdown.py"
        text = inspect.getsource(powerdown)
        if not _holds(script, text):
            write_private(script, text, durable=False)
        _forget_start_file(service)
        if service.paused:
            write_private(_start_file(service), "MAQET_START=-S\n", durable=False)
        properties = [*_unit(service, script), *(_typed(name, value) for name, value in service.properties.items())]
        try:
            await self._start_unit(service.unit, properties)
        except SystemdError as exc:
            if not exc.error_name.endswith(".UnitExists"):
                raise
            await self._manager.call("ResetFailedUnit", "s", service.unit)
            await self._start_unit(service.unit, properties)

    async def _start_unit(self, unit: str, properties: list[tuple[str, tuple[str, Any]]]) -> None:
        await self._manager.call("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", properties, [])

    async def settle(self, service: Service) -> None:
        """QEMU answered or ended: what was for this start alone goes."""
        _forget_start_file(service)

    async def stop(self, unit: str) -> None:
        """See that the unit is inactive and is not started again. Its QEMU has ended before."""
        deadline = Deadline(_STOP_SECONDS)
        if (await self.facts([unit]))[unit].at_rest:
            return
        with suppress(SystemdError):  # it may be gone by now
            await self._manager.call("StopUnit", "ss", unit, "replace")
        while not (await self.facts([unit]))[unit].at_rest:
            if deadline.over:
                raise HostError(f"systemd did not stop {unit} within {deadline.seconds:g} s", hint=f"Look at systemctl --user status {unit}")
            await asyncio.sleep(_PAUSE)

    async def facts(self, units: list[str]) -> dict[str, UnitFacts]:
        """The states of units, by one call."""
        # By patterns, though names hold none: asked by names, systemd would look for the files of units that it has not.
        rows = (await self._manager.call("ListUnitsByPatterns", "asas", [], units))[0]
        loaded = {row[0]: UnitFacts(state=row[3], sub_state=row[4]) for row in rows}
        return {unit: loaded.get(unit, UnitFacts("inactive", "dead")) for unit in units}

    async def details(self, unit: str) -> dict[str, Any]:
        """What systemd knows of one unit, in its own words and units."""
        facts = (await self.facts([unit]))[unit]
        path = (await self._manager.call("LoadUnit", "s", unit))[0]
        found: dict[str, Any] = {"state": facts.state, "sub_state": facts.sub_state}
        for interface, names in _DETAILS.items():
            properties = await self._manager.properties(path, interface)
            found.update({name: properties.get(name) for name in names})
        return found


def _unit(service: Service, script: str) -> list[tuple[str, tuple[str, Any]]]:
    """The unit's properties: names and signatures of org.freedesktop.systemd1(5)."""
    directory = service.directory
    # $MAQET_START is -S or, as soon as start.env is gone, no word at all.
    argv = [*(_literal(word) for word in service.argv), "$MAQET_START"]
    # ExecStop= runs after an exit of QEMU's own too; there is no main process then and nothing to ask.
    guard = _literal('test -z "$MAINPID" || exec "$0" "$1" "$2" "$MAINPID" "$3"')
    stop = ["/bin/sh", "-c", guard, *(_literal(word) for word in (sys.executable, script, service.qmp_socket, f"{service.stop_seconds:g}"))]
    return [
        ("Description", ("s", f"maqet machine {service.machine}")),
        ("Slice", ("s", _SLICE)),
        ("CollectMode", ("s", "inactive-or-failed")),
        ("Type", ("s", "exec")),
        ("ExecStart", ("a(sasb)", [(service.argv[0], argv, False)])),
        ("ExecStop", ("a(sasb)", [(stop[0], stop, False)])),
        ("EnvironmentFiles", ("a(sb)", [(_start_file(service), True)])),
        ("StandardInputFile", ("s", f"{directory}/hello.json")),
        ("StandardOutputFileToAppend", ("s", f"{directory}/events.jsonl")),
        ("StandardErrorFileToAppend", ("s", f"{directory}/qemu.log")),
        ("NoNewPrivileges", ("b", True)),
        ("UMask", ("u", 0o077)),
        ("RestartUSec", ("t", int(_RESTART_SECONDS * _MICRO))),
        ("TimeoutStopUSec", ("t", int((service.stop_seconds + _STOP_MARGIN) * _MICRO))),
    ]


def _typed(name: str, value: str) -> tuple[str, tuple[str, Any]]:
    word, signature, convert = _WORDS[name]
    return word, (signature, convert(value))


def _literal(word: str) -> str:
    """systemd replaces ``$NAME`` in a unit's arguments."""
    return word.replace("$", "$$")


def manager_version() -> str:
    """``252`` or the like; empty without systemd."""
    try:
        return run([find_program("systemctl"), "--version"]).split()[1]
    except (HostError, IndexError):
        return ""


def _start_file(service: Service) -> str:
    return f"{service.directory}/start.env"


def _forget_start_file(service: Service) -> None:
    with suppress(FileNotFoundError):
        os.unlink(_start_file(service))


def _holds(path: str, text: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read() == text
    except OSError:
        return False
