# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A conversation with a guest on its serial console, step by step."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from ._engine import Engine
from ._errors import MachineError, MaqetError
from ._host import lock
from ._host.console import ClosedError, Console, LateError, Seen, connect
from ._host.deadline import Deadline
from ._host.liveness import living_pid
from ._host.watch import await_pid, still
from ._outcome import machine_facts
from ._plan.record import Record
from ._plan.wish import Observed
from ._spec.console import PROMPT, Step, command, secrets, steps
from ._spec.terminal import typed

_LINES = 40
_PAUSE, _SOON = 0.5, 0.01
# A look at the monitor, however little time a step has.
_LOOK_SECONDS, _LAST_LOOK_SECONDS = 10.0, 2.0
# QEMU closes its sockets before it ends.
_END_SECONDS = 3.0
# A console that has been still for so long may wait for somebody to press Enter.
_SILENT_SECONDS = 5.0
# The kernel's own lines come whenever they come, so behind a question too.
_KERNEL = r"(?:\[ *\d+\.\d+\] .*\n?)*"
_LOGIN, _PASSWORD = rf"login: ?{_KERNEL}\Z", rf"[Pp]assword: ?{_KERNEL}\Z"
_REFUSED = r"[Ll]ogin incorrect|[Aa]uthentication failure|[Ll]ogin timed out"
_NOBODY = "disconnected:"


class Conversation(NamedTuple):
    """
    :param steps: as a user wrote them.
    :param timeout: seconds for each step that says no other, and for others to leave the console.
    :param since: ``last``, ``start`` or ``now``: from where on is read.
    """

    name: str
    steps: list[dict[str, Any]]
    timeout: float = 60
    prompt: str = PROMPT
    since: str = "last"


class Told(NamedTuple):
    """``steps``: what each saw."""

    steps: list[dict[str, Any]]
    changed: bool
    vm: dict[str, Any]


def converse(wish: Conversation, *, check: bool = False, engine: Engine | None = None) -> Told:
    """Do all steps in order; in check mode only see that they could be begun.

    :raises MaqetError: a step is wrong; the machine is unknown, stopped, paused or silent; a step did not succeed.
    """
    wanted = steps(wish.steps)
    engine = engine or Engine()
    return engine.do(wish.name, lambda: _converse(engine, wish, wanted, check=check))


async def _converse(engine: Engine, wish: Conversation, wanted: tuple[Step, ...], *, check: bool) -> Told:
    deadline = Deadline(wish.timeout)
    changed = any(step.kind != "expect" or step.answers for step in wanted)
    record, seen = await _look(engine, wish.name)
    if check:
        return Told([], changed, machine_facts(record, seen))
    async with lock.turn(f"{record.run_dir}/console.lock", "its serial console", deadline):
        while await _is_taken(engine, wish.name):
            if deadline.over:
                hint = f"QEMU serves one at a time. End it: fuser {record.sockets['serial']} may name it"
                raise MachineError("another client is connected to its serial console", hint=hint)
            await asyncio.sleep(_PAUSE)
        with connect(record.sockets["serial"]) as client:
            while not await _is_taken(engine, wish.name):
                if deadline.over:
                    raise MachineError("QEMU does not take a client of its serial console", hint=f"Its socket is {record.sockets['serial']}")
                await asyncio.sleep(_SOON)
            console = Console(record, client, wish.since, secrets(wanted))
            done = await _take(_Talk(console, wish), wanted, engine, record)
    return Told(done, changed, machine_facts(record, seen))


async def _look(engine: Engine, name: str, seconds: float = _LOOK_SECONDS) -> tuple[Record, Observed]:
    """
    :raises MachineError: its guest's CPUs stand still.
    """
    async with engine.monitor(name, Deadline(seconds)) as (monitor, record, pid):
        status = (await monitor.execute("query-status"))["status"]
        if status != "running":
            raise still(status)
        return record, Observed(status, pid, qemu_version=monitor.qemu_version)


async def _is_taken(engine: Engine, name: str) -> bool:
    async with engine.monitor(name, Deadline(_LOOK_SECONDS)) as (monitor, _record, _pid):
        devices = await monitor.execute("query-chardev")
        return any(device["label"] == "serial" and not device["filename"].startswith(_NOBODY) for device in devices)


async def _take(talk: _Talk, wanted: tuple[Step, ...], engine: Engine, record: Record) -> list[dict[str, Any]]:
    done: list[dict[str, Any]] = []
    try:
        for number, step in enumerate(wanted):
            begun = time.monotonic()
            deadline = Deadline(step.timeout or talk.wish.timeout)
            try:
                result = talk.do(step, deadline)
            except LateError:
                raise await _late(f"steps[{number}] ({step})", step, deadline, engine, record) from None
            except ClosedError:
                raise await _closed(f"steps[{number}] ({step})", engine, record) from None
            except MachineError as exc:
                exc.message = f"steps[{number}] ({step}): {exc.message}"
                raise
            done.append({"step": str(step), "seconds": round(time.monotonic() - begun, 3), **result})
    except MachineError as exc:
        raise _with_lines(exc, talk.console, done) from None
    finally:
        talk.console.keep()
    return done


def _with_lines(error: MachineError, console: Console, done: list[dict[str, Any]]) -> MachineError:
    lines = console.lines(_LINES)
    said = "\n".join(["Its serial console ends with:", *lines]) if lines else "The guest has said nothing on its serial console"
    error.hint = f"{error.hint}. {said}" if error.hint else said
    error.message = console.veil(error.message)
    error.data.update(steps=done, serial=lines)
    return error


async def _late(where: str, step: Step, deadline: Deadline, engine: Engine, record: Record) -> MachineError:
    what = {"expect": "it did not come", "run": "it has not ended"}.get(step.kind, "it did not get there")
    message = f"{where}: {what} within {deadline.seconds:g} s"
    try:
        await _look(engine, record.name, _LAST_LOOK_SECONDS)
    except MaqetError as exc:
        return MachineError(f"{message}: {exc.message}", **exc.data)
    return MachineError(message)


async def _closed(where: str, engine: Engine, record: Record) -> MachineError:
    ends = Deadline(_END_SECONDS)
    while living_pid(record.directory) and not ends.over:
        await asyncio.sleep(_SOON)
    try:
        await await_pid(engine.host, record, ends)
    except MachineError as exc:
        return MachineError(f"{where}: {exc.message}", **exc.data)
    return MachineError(f"{where}: QEMU has closed the console, or was started anew")


class _Talk:
    """What each kind of step does; its result."""

    def __init__(self, console: Console, wish: Conversation) -> None:
        self.console = console
        self.wish = wish
        self.kinds: dict[str, Callable[[Step, Deadline], dict[str, Any]]] = {
            "expect": self._expect,
            "send": self._send,
            "run": self._run,
            "login": self._login,
        }

    def do(self, step: Step, deadline: Deadline) -> dict[str, Any]:
        """
        :raises MachineError: it did not succeed. :raises LateError, ClosedError: as the console.
        """
        try:
            result = self.kinds[step.kind](step, deadline)
        except (LateError, MachineError):
            if step.no_log:
                self.console.conceal(self.console.unread())
            raise
        if not step.no_log:
            return _veiled(result, self.console)
        self.console.conceal(result.get("seen", ""))
        return {name: value for name, value in result.items() if name == "rc"}

    def _await(self, deadline: Deadline, *patterns: str) -> Seen:
        return self.console.expect([re.compile(pattern, re.MULTILINE) for pattern in patterns], deadline)

    def _expect(self, step: Step, deadline: Deadline) -> dict[str, Any]:
        answers = list(step.answers.items())
        fails = [step.fail_on] if step.fail_on else []
        text, answered = "", []
        while True:
            seen = self._await(deadline, step.value, *fails, *(pattern for pattern, _answer in answers))
            text += seen.text
            if seen.which == 0:
                break
            if seen.which <= len(fails):
                raise MachineError(f"{seen.match.group()!r} came, which it shall not")
            pattern, answer = answers[seen.which - 1 - len(fails)]
            self.console.send(typed(answer, enter=True), deadline)
            answered.append(pattern)
        found = {"match": seen.match.group(), "groups": list(seen.match.groups()), "named": seen.match.groupdict()}
        return {"seen": text, **found, "answered": answered}

    def _send(self, step: Step, deadline: Deadline) -> dict[str, Any]:
        self.console.send(typed(step.value, enter=step.enter), deadline)
        return {}

    def _run(self, step: Step, deadline: Deadline) -> dict[str, Any]:
        words = command(step.value, f"maqet{uuid.uuid4().hex[:8]}")
        self.console.send(typed(words.line, enter=True), deadline)
        self._await(deadline, words.begin)
        seen = self._await(deadline, words.end)
        output = seen.text[: -len(seen.match.group())]
        code = int(seen.match.group(1))
        if step.no_log:
            self.console.conceal(output)
        if code:
            last = "" if step.no_log else f": {' '.join(output.split()[-20:])}"
            raise MachineError(f"it ended with exit code {code}{last}", hint="A command that may fail ends with || true", rc=code)
        return {"rc": code, "output": output}

    def _login(self, step: Step, deadline: Deadline) -> dict[str, Any]:
        prompt = step.value.get("prompt") or self.wish.prompt
        seen = self._await_login(prompt, deadline)
        if seen.which == 1:
            return {"seen": seen.text, "already": True}
        self.console.send(typed(step.value["user"], enter=True), deadline)
        after = self._await(deadline, _REFUSED, _PASSWORD, prompt)
        text = seen.text + after.text
        if after.which == 1:
            if step.value.get("password") is None:
                raise MachineError(f"{step.value['user']} is asked for a password, and none is given", hint="Add password to the step")
            self.console.send(typed(step.value["password"], enter=True), deadline)
            after = self._await(deadline, _REFUSED, prompt)
            text += after.text
        if after.which == 0:
            raise MachineError(f"{step.value['user']} may not log in: {after.match.group()}", hint="Check the user and the password")
        return {"seen": text, "already": False}

    def _await_login(self, prompt: str, deadline: Deadline) -> Seen:
        """The prompt of getty, or of a shell that somebody left open."""
        while True:
            known = self.console.unread()
            try:
                return self._await(deadline.within(_SILENT_SECONDS), _LOGIN, prompt)
            except LateError:
                if deadline.over:
                    raise
                if self.console.unread() == known:
                    self.console.send("\r", deadline)


def _veiled(result: dict[str, Any], console: Console) -> dict[str, Any]:
    """The same without secrets, wherever they are."""
    return {name: _clean(value, console) for name, value in result.items()}


def _clean(value: Any, console: Console) -> Any:
    if isinstance(value, str):
        return console.veil(value)
    if isinstance(value, list):
        return [_clean(item, console) for item in value]
    return {key: _clean(item, console) for key, item in value.items()} if isinstance(value, dict) else value
