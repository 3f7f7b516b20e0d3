# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines as transient units of the user's systemd."""

from __future__ import annotations

import inspect
import os
import socket
import sys
from contextlib import suppress

from .._errors import CommandError, HostError
from . import powerdown
from .command import find_program, run, run_aside
from .paths import write_private
from .supervisor import Service, UnitFacts

SLICE = "maqet.slice"
_FACTS = "Id,ActiveState,SubState,Result,MainPID,NRestarts,ActiveEnterTimestamp,MemoryCurrent,CPUUsageNSec,Restart"
_AT_REST = ("inactive", "failed")
_STATIC = {
    "Type": "exec",
    "NoNewPrivileges": "yes",
    "UMask": "0077",
    # Long enough for us to see the exit of a QEMU that cannot start, short enough for users of a crashed machine.
    "RestartSec": "500ms",
}
# systemd counts from its own start of ExecStop=; ours ends first and says what it saw.
_STOP_MARGIN = 5


def why_unusable(runtime: str | None) -> str:
    """Why the user's systemd cannot be used; empty when it can."""
    if not runtime:
        return f"there is no runtime directory /run/user/{os.getuid()}"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        manager.connect(f"{runtime}/systemd/private")
    except OSError as exc:
        return f"no user manager answers in {runtime}/systemd: {exc.strerror}"
    finally:
        manager.close()
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
        self._env = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus"}

    async def start(self, service: Service) -> None:
        """Hand the machine to systemd; it runs when this returns, or has ended already."""
        script = f"{service.directory}/powerdown.py"
        text = inspect.getsource(powerdown)
        if not _holds(script, text):
            write_private(script, text, durable=False)
        argv = [find_program("systemd-run"), "--user", "--collect", f"--unit={service.unit}", f"--slice={SLICE}"]
        argv.append(f"--description=maqet machine {service.machine}")
        for key, value in {**_STATIC, **self._files(service), **self._stop(service, script), **service.properties}.items():
            argv.append(f"--property={key}={value}")
        # systemd replaces $NAME in a unit's arguments: by nothing, once start.env is gone.
        argv += ["--", *(word.replace("$", "$$") for word in service.argv), "$MAQET_START"]
        _forget_start_file(service)
        if service.paused:
            write_private(_start_file(service), "MAQET_START=-S\n", durable=False)
        try:
            await self._run_unit(argv, service.unit)
        finally:
            _forget_start_file(service)

    async def _run_unit(self, argv: list[str], unit: str) -> None:
        try:
            await run_aside(argv, env=self._env)
        except CommandError as exc:
            if "already" not in str(exc):
                raise
            await run_aside([find_program("systemctl"), "--user", "reset-failed", unit], env=self._env)
            await run_aside(argv, env=self._env)

    async def stop(self, unit: str) -> None:
        """See that the unit is inactive and is not started again. Its QEMU has ended before."""
        if (await self.facts([unit]))[unit].state in _AT_REST:
            return
        try:
            await run_aside([find_program("systemctl"), "--user", "stop", unit], env=self._env, timeout=30)
        except CommandError:
            if (await self.facts([unit]))[unit].state not in _AT_REST:
                raise

    async def facts(self, units: list[str]) -> dict[str, UnitFacts]:
        """What systemd says of each unit, by one call."""
        argv = [find_program("systemctl"), "--user", "show", f"--property={_FACTS}", *units]
        output = await run_aside(argv, env=self._env)
        blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in output.strip().split("\n\n")]
        return {unit: UnitFacts(block.pop("ActiveState"), block) for unit, block in zip(units, blocks)}

    @staticmethod
    def _files(service: Service) -> dict[str, str]:
        directory = service.directory
        return {
            "StandardInput": f"file:{directory}/hello.json",
            "StandardOutput": f"append:{directory}/events.jsonl",
            "StandardError": f"append:{directory}/qemu.log",
            "EnvironmentFile": f"-{_start_file(service)}",
        }

    @staticmethod
    def _stop(service: Service, script: str) -> dict[str, str]:
        # ExecStop= runs after an exit of QEMU's own too; there is no main process then and nothing to ask.
        guard = 'test -z "$$MAINPID" || exec "$$0" "$$1" "$$2" "$$MAINPID" "$$3"'
        words = ["/bin/sh", "-c", guard, *(word.replace("$", "$$") for word in (sys.executable, script, service.qmp_socket, f"{service.stop_seconds:g}"))]
        return {"ExecStop": " ".join(_quoted(word) for word in words), "TimeoutStopSec": f"{service.stop_seconds + _STOP_MARGIN:g}s"}


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


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _holds(path: str, text: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read() == text
    except OSError:
        return False
