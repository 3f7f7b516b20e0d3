# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines as transient units of the user's systemd."""

from __future__ import annotations

import asyncio
import inspect
import os
import shlex
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .._errors import HostError
from .._spec.helper import Helper
from . import limits, on_failure, powerdown
from .command import find_program, run
from .dbus import Manager, SystemdError, bus_socket
from .deadline import Deadline
from .paths import write_private
from .supervisor import Service, UnitFacts, helper_log

Properties = list[tuple[str, tuple[str, Any]]]
"""A unit's, with their signatures (org.freedesktop.systemd1(5))."""

SLICE = "maqet.slice"
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
_HELPER_SECONDS = 10
# In a file: into a transient unit's own file systemd 252 writes a $ as \$, and reads it back so at each daemon-reload.
_SCRIPT = r"""case $1 in
start)
    . "${0%/*}/command"
    # What is for this once is read once; a start by systemd itself after a crash has nobody to say that the guest begins anew.
    if test -s "${0%/*}/start.once"; then . "${0%/*}/start.once"; : >"${0%/*}/start.once"
    else printf '{"serial": %s, "time": %s}\n' "$(stat -c %s "${0%/*}/serial.log")" "$(date +%s)"; fi
    exec "$@" ;;
stop)  # also after an exit of QEMU's own; there is no main process then and nothing to ask
    test -z "$MAINPID" || exec "$2" "$3" "$4" "$MAINPID" "$5" ;;
failed)  # after each end of QEMU, before systemd starts it again
    test "$SERVICE_RESULT" = success || exec "$2" "$3" "${0%/*}" ;;
listens)  # Type=exec says only that a program was found: its socket comes a little later, or the program ends
    until test -S "$2"; do kill -0 "$MAINPID" || exit 1; sleep 0.02; done ;;
all-listen)
    shift
    for path; do test -S "$path" || { echo "No helper listens at $path" >&2; exit 1; }; done ;;
esac
"""


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
        self._runtime = str(runtime)
        self._manager = Manager(self._runtime)

    async def close(self) -> None:
        await self._manager.close()

    async def start(self, service: Service) -> None:
        """Hand the machine to systemd, which starts it after this returns."""
        script = f"{service.directory}/powerdown.py"
        text = inspect.getsource(powerdown)
        command = f"set -- {shlex.join(service.command)}\n"
        failure = (_failure_script(service), inspect.getsource(on_failure))
        for file, words in ((script, text), failure, (_script(service), _SCRIPT), (f"{service.directory}/command", command)):
            if not _holds(file, words):
                write_private(file, words, durable=False)
        write_private(f"{service.directory}/start.once", 'set -- "$@" -S\n' if service.paused else ":\n", durable=False)
        properties = [*_unit(service, script), *(_typed(name, value) for name, value in service.properties.items())]
        await self.run_unit(service.unit, properties, _helper_units(service))

    async def run_unit(self, unit: str, properties: Properties, beside: list[tuple[str, Properties]]) -> None:
        """A transient unit, and those beside it; what is left of earlier ones of these names is stopped first."""
        call = ("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", properties, beside)
        try:
            await self._manager.call(*call)
        except SystemdError as exc:
            if not exc.error_name.endswith(".UnitExists"):
                raise
            await self.stop(unit)
            for name in (unit, *(name for name, _properties in beside)):
                with suppress(SystemdError):  # only those that failed are there
                    await self._manager.call("ResetFailedUnit", "s", name)
            await self._manager.call(*call)

    async def stop(self, unit: str) -> None:
        """See that the unit and its helpers' are inactive and are not started again. Its QEMU has ended before."""
        deadline = Deadline(_STOP_SECONDS)
        asked: set[str] = set()
        while True:
            family = await self._facts([unit, f"{_stem(unit)}:*.service"])
            busy = [name for name, facts in family.items() if not facts.at_rest]
            if not busy:
                return
            if deadline.over:
                raise HostError(f"systemd did not stop {busy[0]} within {deadline.seconds:g} s", hint=f"Look at systemctl --user status {busy[0]}")
            if asked.issuperset(busy):
                await asyncio.sleep(_PAUSE)
            for name in set(busy) - asked:
                asked.add(name)
                with suppress(SystemdError):  # it may be gone by now
                    await self._manager.call("StopUnit", "ss", name, "replace")

    async def facts(self, units: list[str]) -> dict[str, UnitFacts]:
        """The states of units, by one call."""
        loaded = await self._facts(units)
        return {unit: loaded.get(unit, UnitFacts("inactive", "dead")) for unit in units}

    async def _facts(self, patterns: list[str]) -> dict[str, UnitFacts]:
        # By patterns, even for whole names: asked by names, systemd would look for the files of units that it has not.
        rows = (await self._manager.call("ListUnitsByPatterns", "asas", [], patterns))[0]
        # A machine that waits for its helpers is inactive and has a job.
        return {row[0]: UnitFacts("activating" if row[8] in ("start", "restart") else row[3], row[4]) for row in rows}

    async def limits(self, unit: str) -> dict[str, Any]:
        """The unit's limits and restart policy as systemd has them, by option."""
        return await limits.read(self._manager, unit)

    async def set_properties(self, unit: str, properties: dict[str, str]) -> None:
        """Change the unit while it runs."""
        await limits.write(self._manager, self._runtime, unit, properties)

    async def details(self, unit: str) -> dict[str, Any]:
        """What systemd knows of one unit, in its own words and units."""
        facts = (await self.facts([unit]))[unit]
        path = (await self._manager.call("LoadUnit", "s", unit))[0]
        found: dict[str, Any] = {"state": facts.state, "sub_state": facts.sub_state}
        for interface, names in _DETAILS.items():
            properties = await self._manager.properties(path, interface)
            found.update({name: properties.get(name) for name in names})
        return found


def _unit(service: Service, script: str) -> Properties:
    """The unit's properties: names and signatures of org.freedesktop.systemd1(5)."""
    directory = service.directory
    stop = (sys.executable, script, service.qmp_socket, f"{service.stop_seconds:g}")
    return [
        ("Description", ("s", f"maqet machine {service.machine}")),
        ("Slice", ("s", SLICE)),
        ("CollectMode", ("s", "inactive-or-failed")),
        ("Type", ("s", "exec")),
        ("ExecStart", ("a(sasb)", [_shell(service, "start")])),
        ("ExecStop", ("a(sasb)", [_shell(service, "stop", *stop)])),
        ("ExecStopPost", ("a(sasb)", [(*_shell(service, "failed", sys.executable, _failure_script(service))[:2], True)])),
        ("StandardInputFile", ("s", f"{directory}/hello.json")),
        ("StandardOutputFileToAppend", ("s", f"{directory}/events.jsonl")),
        ("StandardErrorFileToAppend", ("s", f"{directory}/qemu.log")),
        ("NoNewPrivileges", ("b", not service.joins)),  # joined.py sets it when it needs root's no more
        ("UMask", ("u", 0o077)),
        ("RestartUSec", ("t", int(_RESTART_SECONDS * _MICRO))),
        ("TimeoutStopUSec", ("t", int((service.stop_seconds + _STOP_MARGIN) * _MICRO))),
        *(_needs(service) if service.helpers else ()),
    ]


def _needs(service: Service) -> Properties:
    """A machine's properties for its helpers. Wants=, not Requires=: that one would also stop the machine, and end its
    restart after a crash, when the helper is stopped with it. So QEMU is started only where all of them listen."""
    units = [_helper_unit(service, helper) for helper in service.helpers]
    check = _shell(service, "all-listen", *(helper.socket for helper in service.helpers))
    return [("Wants", ("as", units)), ("After", ("as", units)), ("ExecStartPre", ("a(sasb)", [check]))]


def _helper_units(service: Service) -> list[tuple[str, Properties]]:
    return [(_helper_unit(service, helper), _helper_properties(service, helper)) for helper in service.helpers]


def _helper_properties(service: Service, helper: Helper) -> Properties:
    log = helper_log(service, helper)
    forget = ("/bin/rm", ["/bin/rm", "-f", literal(helper.socket)], False)
    return [
        ("Description", ("s", f"maqet machine {service.machine}: {helper.name}")),
        ("Slice", ("s", SLICE)),
        ("CollectMode", ("s", "inactive-or-failed")),
        ("BindsTo", ("as", [service.unit])),
        ("Type", ("s", "exec")),
        ("ExecStartPre", ("a(sasb)", [forget])),
        ("ExecStart", ("a(sasb)", [(helper.argv[0], [literal(word) for word in helper.argv], False)])),
        ("ExecStartPost", ("a(sasb)", [_shell(service, "listens", helper.socket)])),
        ("ExecStopPost", ("a(sasb)", [forget])),
        ("WorkingDirectory", ("s", service.directory)),
        ("StandardOutputFileToAppend", ("s", log)),
        ("StandardErrorFileToAppend", ("s", log)),
        ("NoNewPrivileges", ("b", True)),
        ("UMask", ("u", 0o077)),
        ("TimeoutStartUSec", ("t", _HELPER_SECONDS * _MICRO)),
        ("TimeoutStopUSec", ("t", _HELPER_SECONDS * _MICRO)),
    ]


def _shell(service: Service, *words: str) -> tuple[str, list[str], bool]:
    return "/bin/sh", ["/bin/sh", *(literal(word) for word in (_script(service), *words))], False


def _helper_unit(service: Service, helper: Helper) -> str:
    # A machine's name has no colon, so no other machine's unit is called like this.
    return f"{_stem(service.unit)}:{helper.name}.service"


def _stem(unit: str) -> str:
    return unit[: -len(".service")]


def _typed(name: str, value: str) -> tuple[str, tuple[str, Any]]:
    word, signature, convert = _WORDS[name]
    return word, (signature, convert(value))


def literal(word: str) -> str:
    """systemd replaces ``$NAME`` in a unit's arguments."""
    return word.replace("$", "$$")


def manager_version() -> str:
    """``252`` or the like; empty without systemd."""
    try:
        return run([find_program("systemctl"), "--version"]).split()[1]
    except (HostError, IndexError):
        return ""


def _script(service: Service) -> str:
    return f"{service.directory}/unit.sh"


def _failure_script(service: Service) -> str:
    return f"{service.directory}/on_failure.py"


def _holds(path: str, text: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read() == text
    except OSError:
        return False
