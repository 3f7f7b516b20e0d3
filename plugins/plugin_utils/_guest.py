# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done in a guest through its agent: commands run, files written and read."""

from __future__ import annotations

import asyncio
import base64
import secrets
import signal
from collections.abc import Callable
from typing import IO, Any, NamedTuple

from ..module_utils._errors import MachineError, QmpError
from ._guest_session import LostError, Session

# Measured with qemu-ga 7.2 under TCG: 3.6 MB/s to the guest from 256 KiB on (its JSON reader takes one character after the other), 13 MB/s
# from it; larger ones gain nothing.
_CHUNK = 1 << 18
_TRANSFER_SECONDS = 2.0
_TRIES = 3
_FIRST_PAUSE, _LONGEST_PAUSE, _SHARE = 0.01, 0.5, 0.05
# qemu-ga refuses longer words.
_LONGEST_INPUT = 45 << 20
_ENDED_BADLY = 128

# A command's output lies in files until it is handed over, and its process is none of the agent's service: so both outlive an agent
# that is restarted meanwhile, be it by the command itself. $0 is the command's own id: an id that is known is never run again.
_RUN = """
d=/tmp; [ -d /run ] && [ -w /run ] && d=/run; d=$d/maqet-$0
umask 077; set -C
echo $$ >$d.pid && : >$d.out && : >$d.err || exit 125
set +C
for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/systemd/cgroup.procs; do [ -w $f ] && echo 0 >$f; done 2>/dev/null
[ "$HOME" ] || HOME=~root
export HOME
umask 022
/bin/sh -c "$1" >>$d.out 2>>$d.err
code=$?
echo $code >$d.code
cat $d.out && { [ ! -s $d.err ] || cat $d.err >&2; } && echo told >$d.code && { rm -f $d.* </dev/null >/dev/null 2>&1 & }
exit $code
"""
# The process is the one that guest-exec named, or would have.
_LOOK = """
d=/tmp; [ -d /run ] && [ -w /run ] && d=/run; d=$d/maqet-$0
if [ ! -e $d.pid ]; then echo unknown 0; exit; fi
read pid <$d.pid; state=gone
if kill -0 $pid; then state=runs; elif [ -e $d.code ]; then state=ended; read code <$d.code; fi 2>/dev/null
[ "$code" != told ] || state=told
echo $state $pid
"""
_TAKE = """
d=/tmp; [ -d /run ] && [ -w /run ] && d=/run; d=$d/maqet-$0
read code <$d.code; cat $d.out; cat $d.err >&2; rm -f $d.*; exit $code
"""
_SELINUX = (
    "Where SELinux is enforcing in the guest, its agent is confined: 'setsebool -P virt_qemu_ga_run_unconfined on', or "
    "'semanage permissive -a virt_qemu_ga_t', there"
)
_BARRED = "Allow it there: remove it from the agent's block list (/etc/sysconfig/qemu-ga, /etc/qemu/qemu-ga.conf) and restart qemu-guest-agent"


class Done(NamedTuple):
    """A command's end."""

    code: int
    out: bytes
    err: bytes


class Guest:
    """:param session: with its agent."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def run_shell(self, command: str, data: bytes | None) -> Done:
        """Run it by the guest's ``/bin/sh``, once, also when the agent is restarted meanwhile.

        :raises MachineError: it could not be run, or its result is lost.
        """
        token = secrets.token_hex(8)
        try:
            return await self._end(await self._start(_shell(_RUN, token, command), data))
        except LostError:
            return await self._find(token)

    async def _find(self, token: str) -> Done:
        """The result of a command whose agent is no more, or was too slow to say that it has begun."""
        is_other, pause = False, _FIRST_PAUSE
        while True:
            state, pid = await self._look(token)
            if state == "ended":
                return await self._end(await self._start(_shell(_TAKE, token), None))
            if state in ("runs", "told") and not is_other:
                try:
                    return await self._end(pid)
                except LostError:
                    is_other = True
            elif state != "runs":
                what = "the guest's agent did not answer, or was restarted, while it ran a command, and its result is lost"
                raise MachineError(what, hint="Nobody knows how it ended. What restarts the guest belongs into ansible.builtin.reboot")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _look(self, token: str) -> tuple[str, int]:
        """What became of a command, and its process."""
        while True:
            try:
                state, pid = (await self._end(await self._start(_shell(_LOOK, token), None))).out.decode().split()
                return state, int(pid)
            except LostError:
                await asyncio.sleep(_FIRST_PAUSE)

    async def run(self, argv: list[str], data: bytes | None) -> Done:
        """Run a program of the guest's.

        :raises MachineError: it could not be run, or its result is lost.
        """
        try:
            return await self._end(await self._start(argv, data))
        except LostError as exc:
            raise MachineError("the guest's agent was restarted while it ran a command, and its result is lost") from exc

    async def _start(self, argv: list[str], data: bytes | None) -> int:
        arguments: dict[str, Any] = {"path": argv[0], "arg": argv[1:], "capture-output": True}
        if data:
            if len(data) > _LONGEST_INPUT:
                raise MachineError(f"a command's input has {len(data)} bytes, more than an agent takes", hint="Switch pipelining off")
            arguments["input-data"] = base64.b64encode(data).decode()
        try:
            return int((await self._session.ask_once("guest-exec", arguments))["pid"])
        except QmpError as exc:
            raise explain(exc, "run commands") from exc

    async def _end(self, pid: int) -> Done:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            try:
                answer = await self._session.ask("guest-exec-status", {"pid": pid})
            except QmpError as exc:
                if exc.data["error_class"] == "CommandNotFound":
                    raise explain(exc, "run commands") from exc
                raise LostError(exc.message) from exc  # another agent, which has not started it
            if answer["exited"]:
                return _done(answer)
            pause = max(_FIRST_PAUSE, min(_LONGEST_PAUSE, (loop.time() - begun) * _SHARE))
            # A guest under emulation has better things to do than to be asked, and others want to speak, too.
            if pause == _LONGEST_PAUSE:
                await self._session.release()
            await asyncio.sleep(pause)

    async def put(self, file: IO[bytes], path: str) -> None:
        """
        :raises MachineError: it could not be written.
        """
        await self._transfer("wb", path, lambda handle: self._write(file, handle))

    async def fetch(self, path: str, file: IO[bytes]) -> None:
        """
        :raises MachineError: it could not be read.
        """
        await self._transfer("rb", path, lambda handle: self._read(handle, file))

    async def _transfer(self, mode: str, path: str, work: Callable[[int], Any]) -> None:
        """Open, work, close; from the beginning when the agent was restarted."""
        tries = _TRIES
        while True:
            handle = None
            tries -= 1
            try:
                handle = int(await self._session.ask_once("guest-file-open", {"path": path, "mode": mode}))
                await work(handle)
                return
            except LostError as exc:
                if not tries:
                    raise MachineError(f"{path} could not be transferred: {exc.message}", hint="The guest's agent is restarted again and again") from exc
            except QmpError as exc:
                # A handle of an agent that is no more.
                if not tries or "has not been found" not in exc.message:
                    raise explain(exc, f"{'write' if mode == 'wb' else 'read'} {path}") from exc
            finally:
                if handle is not None:
                    await self._close(handle)

    async def _close(self, handle: int) -> None:
        """An open file of the agent's stays open for ever: its close must not be called off."""
        closing = asyncio.ensure_future(self._session.ask("guest-file-close", {"handle": handle}))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait([closing])
            raise
        except MachineError:
            return

    async def _write(self, file: IO[bytes], handle: int) -> None:
        file.seek(0)
        while data := file.read(_CHUNK):
            while data:
                arguments = {"handle": handle, "buf-b64": base64.b64encode(data).decode()}
                written = await self._session.ask_once("guest-file-write", arguments, hold=_TRANSFER_SECONDS)
                data = data[written["count"] :]
        await self._session.ask_once("guest-file-flush", {"handle": handle})

    async def _read(self, handle: int, file: IO[bytes]) -> None:
        file.seek(0)
        file.truncate()
        while True:
            answer = await self._session.ask_once("guest-file-read", {"handle": handle, "count": _CHUNK}, hold=_TRANSFER_SECONDS)
            file.write(base64.b64decode(answer["buf-b64"]))
            if answer["eof"]:
                return


def _shell(script: str, *words: str) -> list[str]:
    return ["/bin/sh", "-c", script, *words]


def _done(answer: dict[str, Any]) -> Done:
    if answer.get("out-truncated") or answer.get("err-truncated"):
        raise MachineError("the command printed more than its agent keeps (16 MiB)", hint="Write it to a file of the guest's, and fetch that")
    code = answer.get("exitcode", _ENDED_BADLY + int(answer.get("signal", signal.SIGTERM)))
    return Done(int(code), base64.b64decode(answer.get("out-data", "")), base64.b64decode(answer.get("err-data", "")))


def explain(exc: QmpError, what: str) -> MachineError:
    """What an agent's refusal means."""
    command = exc.data["command"]
    if exc.data["error_class"] == "CommandNotFound" or "disabled" in exc.message:
        return MachineError(f"the guest's agent may not {what}: {command} is not allowed", hint=_BARRED)
    return MachineError(f"the guest's agent cannot {what}: {exc.message}", hint=_SELINUX if "ermission denied" in exc.message else "")
