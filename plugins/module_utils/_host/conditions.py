# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting until a machine that runs meets its conditions; how each kind is looked at.

What counts is what came since the guest's last start. Nothing is held while we wait: a look at the monitor takes the machine's
lock and gives it back, a look at the agent's socket ends before the next one's.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from .._errors import LockedError, MachineError, MaqetError, QmpError, UnresponsiveError
from .._plan.record import Record
from .._spec.condition import Condition, Way, check_possible, conditions, ways
from . import recorder
from .agent import Agent, Channel, open_agent
from .deadline import Deadline
from .host import Host
from .liveness import age_of
from .paths import last_words, write_private
from .watch import await_pid, query, watch

# One look, however the guest behaves; one at passt lasts longer.
_LOOK_SECONDS, _PORT_SECONDS = 3.0, 12.0
# The last one too has time to see something.
_LAST_LOOK_SECONDS = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
# A guest that refuses a forwarded connection has it closed within milliseconds.
_HOLD_SECONDS = 0.3
# passt gives a connection that its guest does not answer up after 10 s (SYN_TIMEOUT), and cannot be asked before.
_PASST_SECONDS = 11.0
_TAIL, _LINES = 1 << 20, 15
_UNSEEN, _SILENT = "not looked at yet", "no agent answers in the guest"
# "  TCP[ESTABLISHED]   14  127.0.0.1  2222  10.0.2.15  22  0  0", of what came in by a forward: the forward's own address first.
_CONNECTION = re.compile(r"TCP\[(\w+)\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+\d+\s")
_ANSWERED = ("ESTABLISHED", "CLOSE_WAIT")
_FINISHED = re.compile(r"^.*Cloud-init v\. \S+ finished at .*$", re.MULTILINE)
# What a terminal is told, not its reader.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_])|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(eq=False)
class Look:
    """One condition of one machine.

    :param spec: the normal form that is in force.
    :param seen: what the last look saw; met: that it was met; kept: what a look leaves for the next one.
    """

    host: Host
    record: Record
    spec: dict[str, Any]
    boot: recorder.Boot
    channel: Channel
    condition: Condition
    seen: str = _UNSEEN
    met: bool = False
    kept: dict[str, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def agent(self, deadline: Deadline) -> AsyncIterator[Agent]:
        async with self.channel.turn:
            self.channel.check()
            async with open_agent(self.record.sockets_of(self.spec)["agent"], deadline) as agent:
                yield agent

    def console(self) -> str:
        """What the guest said on its serial console."""
        with suppress(FileNotFoundError), open(recorder.serial_log(self.record.directory), "rb") as file:
            size = file.seek(0, 2)
            begin = self.boot.serial if self.boot.serial <= size else 0  # somebody may have emptied it
            if size != self.kept.get("size"):
                file.seek(max(begin, size - _TAIL))
                self.kept.update(size=size, text=file.read().decode(errors="replace").replace("\r\n", "\n"))
        return str(self.kept.get("text", ""))


class _LateError(Exception):
    """A condition was not met in time."""


async def await_ready(host: Host, record: Record, wanted: Sequence[dict[str, Any]], deadline: Deadline) -> None:
    """Wait until the machine meets all conditions at once; that it did is remembered while its QEMU runs.

    :raises SpecError: it can never meet one.
    :raises MachineError: it stopped, or time is up: which were not met, and what was seen last.
    """
    items = conditions(wanted)
    check_possible(items, record.applied or record.declared, "ready")
    while True:
        pid = await await_pid(host, record, deadline)
        if await _meet(host, record, items, pid, deadline):
            break
    with suppress(MaqetError):  # it may have been stopped this moment
        write_private(_marker(record), json.dumps({"pid": pid, "conditions": _digest(wanted), "seconds": age_of(pid)}), durable=False)


def was_ready(record: Record, pid: int, wanted: Sequence[dict[str, Any]]) -> float | None:
    """Seconds from the start of this QEMU until it was seen to meet these conditions; None when it never was."""
    try:
        with open(_marker(record), encoding="ascii") as file:
            known = json.load(file)
    except (OSError, ValueError):
        return None
    return float(known["seconds"]) if (known["pid"], known["conditions"]) == (pid, _digest(wanted)) else None


def _marker(record: Record) -> str:
    return f"{record.run_dir}/ready"


def _digest(wanted: Sequence[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(list(wanted), sort_keys=True).encode()).hexdigest()


async def _meet(host: Host, record: Record, items: Sequence[Condition], pid: int, deadline: Deadline) -> bool:
    """Whether all were met; False when another QEMU runs instead, with a guest that begins anew."""
    spec, boot = record.applied_to(pid) or record.declared, recorder.last_boot(record.directory)
    channel = Channel(record.directory, boot)
    looks = [Look(host, record, spec, boot, channel, item) for item in items]
    may_pause = any(item.kind == "status" and item.value != "running" for item in items)
    guard = asyncio.ensure_future(watch(host, record, pid, boot, deadline, may_pause=may_pause))
    tasks = [asyncio.ensure_future(_await(look, deadline)) for look in looks]
    try:
        pending: set[asyncio.Future[None]] = {guard, *tasks}
        while pending - {guard}:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if guard in done:
                return False
        return True
    except _LateError:
        raise _late(looks, deadline) from None
    finally:
        for task in (guard, *tasks):
            task.cancel()
        await asyncio.gather(guard, *tasks, return_exceptions=True)


async def _await(look: Look, deadline: Deadline) -> None:
    own = deadline.within(look.condition.timeout) if look.condition.timeout else deadline
    pause = _FIRST_PAUSE
    while True:
        seconds = _PORT_SECONDS if look.condition.kind == "port" else _LOOK_SECONDS
        short = own.left < _LOOK_SECONDS
        seen = await KINDS[look.condition.kind](look, look.condition.value, Deadline(max(_LAST_LOOK_SECONDS, min(seconds, own.left))))
        # A guest that was given no time to answer has not gone silent.
        if seen != _SILENT or not short or look.seen == _UNSEEN:
            look.seen = seen
        look.met = not seen
        if look.met:
            return
        if own.over:
            raise _LateError
        await asyncio.sleep(min(pause, own.left))
        pause = min(pause * 1.3, _LONGEST_PAUSE)


def _late(looks: list[Look], deadline: Deadline) -> MachineError:
    unmet = [look for look in looks if not look.met]
    seconds = min([look.condition.timeout or deadline.seconds for look in unmet if look.condition.timeout] or [deadline.seconds])
    missed = "; ".join(f"{look.condition}: {look.seen}" for look in unmet)
    return MachineError(
        f"not ready within {seconds:g} s: {missed}",
        hint=_last_words(unmet[0]),
        conditions=[{"condition": str(look.condition), "seen": look.seen} for look in unmet],
        serial=_words(unmet[0]),
    )


def _words(look: Look) -> list[str]:
    return [_ESCAPES.sub("", line) for line in last_words(recorder.serial_log(look.record.directory), look.boot.serial, _LINES)]


def _last_words(look: Look) -> str:
    lines = _words(look)
    if not lines:
        return "The guest has said nothing on its serial console"
    return "\n".join([f"Its serial console ({recorder.serial_log(look.record.directory)}) ends with:", *lines])


async def _status(look: Look, value: str, deadline: Deadline) -> str:
    try:
        status = (await query(look.host, look.record, deadline, "query-status"))["status"]
    except (LockedError, UnresponsiveError) as exc:
        return exc.message
    return "" if value == ("paused" if status == "prelaunch" else status) else f"it is {status}"


async def _agent(look: Look, value: bool, deadline: Deadline) -> str:
    try:
        async with look.agent(deadline) as agent:
            await agent.execute("guest-ping")
    except UnresponsiveError:
        return _SILENT
    except MachineError as exc:
        return exc.message
    return ""


async def _serial(look: Look, value: str, deadline: Deadline) -> str:
    text = look.console()
    return "" if re.search(value, text, re.MULTILINE) else f"not among the {len(text.splitlines())} lines of its serial console"


async def _event(look: Look, value: dict[str, Any], deadline: Deadline) -> str:
    wanted = {"event": value["name"], "match": value.get("match")}
    events, look.kept["position"] = recorder.read_events(look.record.directory, look.kept.get("position", look.boot.events))
    if any(recorder.matches(wanted, event) for event in events):
        return ""
    look.kept["names"] = list(dict.fromkeys([*look.kept.get("names", ()), *(event["event"] for event in events)]))
    return f"events seen: {', '.join(look.kept['names']) or 'none'}"


async def _port(look: Look, value: dict[str, Any], deadline: Deadline) -> str:
    seen = []
    for way in ways(value, look.spec, look.record.identity):
        for address in [way.address] if way.address else await _addresses(look, deadline):
            seen.append(await _try_port(look, way._replace(address=address), deadline))
            if not seen[-1]:
                return ""
    return ", ".join(dict.fromkeys(seen)) or "the guest has no address yet"


async def _try_port(look: Look, way: Way, deadline: Deadline) -> str:
    """QEMU and passt take a connection before the guest does: it counts when the guest says something, or is known to have answered."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(way.address, way.port), deadline.left)
    except asyncio.TimeoutError:
        return f"{way.address}:{way.port} does not answer"
    except OSError as exc:
        return f"{way.address}:{way.port}: {os.strerror(exc.errno) if exc.errno else exc}"
    try:
        if way.network not in ("user", "passt"):
            return ""
        hold = _HOLD_SECONDS if way.network == "user" else _PASST_SECONDS
        enough = deadline.left >= hold
        with suppress(asyncio.TimeoutError):
            return "" if await asyncio.wait_for(_first_byte(reader), min(hold, deadline.left)) else "nothing listens in the guest"
        if way.network == "user":
            return await _answered(look, way, deadline)
        return "" if enough else "the guest has not answered yet"
    finally:
        writer.close()


async def _first_byte(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1)
    except OSError:
        return b""


async def _answered(look: Look, way: Way, deadline: Deadline) -> str:
    """Whether QEMU's table of connections says that the guest took one that came by the forward."""
    try:
        table = await query(look.host, look.record, deadline, "human-monitor-command", {"command-line": "info usernet"})
    except (LockedError, UnresponsiveError) as exc:
        return exc.message
    return "" if any(state in _ANSWERED and int(port) == way.port for state, port in _CONNECTION.findall(table)) else "the guest does not answer"


async def _command(look: Look, value: list[str], deadline: Deadline) -> str:
    try:
        done = await _execute(look, value, deadline)
    except UnresponsiveError:
        return _SILENT
    except QmpError as exc:
        _raise_if_barred(exc)
        return exc.message
    except MachineError as exc:
        return exc.message
    if done is None:
        return "it has not ended yet"
    words = (_text(done, "err-data") or _text(done, "out-data")).strip().splitlines()
    code = done.get("exitcode", f"signal {done.get('signal')}")
    return "" if code == 0 else f"exit code {code}{f': {words[-1]}' if words else ''}"


def _raise_if_barred(exc: QmpError) -> None:
    if exc.data["error_class"] == "CommandNotFound" or "disabled" in exc.message:
        hint = "Allow guest-exec there: remove it from the agent's block list (/etc/sysconfig/qemu-ga, /etc/qemu/qemu-ga.conf)"
        raise MachineError("the guest's agent may not run commands", hint=hint) from exc


async def _execute(look: Look, words: list[str], deadline: Deadline) -> dict[str, Any] | None:
    """What the agent says of the command's end; None while it runs, and the next look asks on."""
    async with look.agent(deadline) as agent:
        if "pid" not in look.kept:
            arguments = {"path": words[0], "arg": words[1:], "capture-output": True}
            look.kept["pid"] = (await agent.execute("guest-exec", arguments))["pid"]
        soon = Deadline(_LONGEST_PAUSE)
        try:
            while True:
                answer: dict[str, Any] = await agent.execute("guest-exec-status", {"pid": look.kept["pid"]})
                if answer["exited"] or soon.over:
                    break
                await asyncio.sleep(_FIRST_PAUSE)
        except QmpError:  # the guest began anew
            del look.kept["pid"]
            raise
    if answer["exited"]:
        del look.kept["pid"]
    return answer if answer["exited"] else None


def _text(answer: dict[str, Any], key: str) -> str:
    return base64.b64decode(answer.get(key, "")).decode(errors="replace")


async def _cloud_init(look: Look, value: str, deadline: Deadline) -> str:
    """By its own word where an agent answers, else by its last line on the console."""
    seen = _SILENT
    if look.spec["guest_agent"]:
        try:
            done = await _execute(look, ["cloud-init", "status", *look.kept.setdefault("options", ["--format", "json"])], deadline)
        except QmpError as exc:
            seen = exc.message
            if "No such file" in seen:
                raise MachineError("there is no cloud-init in the guest", hint="Use another condition, or an image that has it") from exc
        except MachineError:
            pass
        else:
            return _judge(look, done) if done else "its status is not known yet"
    return "" if _FINISHED.search(look.console()) else f"{seen}, and its last line is not on the serial console"


def _judge(look: Look, done: dict[str, Any]) -> str:
    """
    :raises MachineError: it failed, or was switched off.
    """
    text = _text(done, "out-data")
    try:
        facts = json.loads(text)
    except ValueError:
        look.kept["options"] = ["--long"]  # before 22.4 it knows no other
        named = re.search(r"^status: (.+)$", text, re.MULTILINE)
        facts = {"status": named.group(1) if named else "unknown", "errors": re.findall(r"^detail:\s*(.+)$", text, re.MULTILINE)}
    status = facts.get("status", "unknown")
    if status in ("error", "disabled"):
        errors = "; ".join(map(str, facts.get("errors") or [])) or str(facts.get("detail") or "it does not say why")
        what = f"cloud-init failed in the guest: {errors}" if status == "error" else "cloud-init is switched off in the guest"
        raise MachineError(what, hint="Look at /var/log/cloud-init.log there", cloud_init=facts)
    return "" if status.startswith(("done", "degraded")) else f"its status is {status}"


async def _addresses(look: Look, deadline: Deadline) -> list[str]:
    """The guest's own on the machine's cards, as its agent tells them."""
    macs = {(nic["mac"] or look.record.identity["macs"].get(name, "")).lower() for name, nic in look.spec["nics"].items()}
    try:
        async with look.agent(deadline) as agent:
            cards = await agent.execute("guest-network-get-interfaces")
    except MachineError:
        return []
    found = [item["ip-address"] for card in cards if card.get("hardware-address", "").lower() in macs for item in card.get("ip-addresses", ())]
    return [address for address in found if not address.lower().startswith(("fe80:", "169.254."))]


async def _address(look: Look, value: bool, deadline: Deadline) -> str:
    return "" if await _addresses(look, deadline) else "the guest's agent tells no address"


KINDS: dict[str, Callable[[Look, Any, Deadline], Awaitable[str]]] = {
    "status": _status,
    "agent": _agent,
    "port": _port,
    "serial": _serial,
    "event": _event,
    "cloud_init": _cloud_init,
    "command": _command,
    "address": _address,
}
