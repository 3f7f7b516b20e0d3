# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A look into the guest, by its agent: whether it answers, what a command of its own says, its addresses and ports."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import Any

from .._errors import MachineError, QmpError, UnresponsiveError
from .agent import Agent
from .deadline import Deadline
from .look import Look

_FIRST_PAUSE, _SOON_SECONDS = 0.05, 0.5
SILENT = "no agent answers in the guest"
_FINISHED = re.compile(r"^.*Cloud-init v\. \S+ finished at .*$", re.MULTILINE)
# Linux's tables of TCP: "0: 00000000:0016 00000000:0000 0A …", the last is LISTEN.
_TABLES, _LISTEN, _PIECE = ("/proc/net/tcp", "/proc/net/tcp6"), "0A", 1 << 16


async def agent(look: Look, value: bool, deadline: Deadline) -> str:
    try:
        async with look.agent(deadline) as session:
            await session.execute("guest-ping")
    except UnresponsiveError:
        return SILENT
    except MachineError as exc:
        return exc.message
    return ""


async def command(look: Look, value: list[str], deadline: Deadline) -> str:
    try:
        done = await _execute(look, value, deadline)
    except UnresponsiveError:
        return SILENT
    except QmpError as exc:
        _raise_if_barred(exc)
        return exc.message
    except MachineError as exc:
        return exc.message
    if done is None:
        return "it has not ended yet"
    look.found = _text(done, "out-data")
    words = (_text(done, "err-data") or _text(done, "out-data")).strip().splitlines()
    code = done.get("exitcode", f"signal {done.get('signal')}")
    return "" if code == 0 else f"exit code {code}{f': {words[-1]}' if words else ''}"


def _raise_if_barred(exc: QmpError, what: str = "run commands", name: str = "guest-exec") -> None:
    if exc.data["error_class"] == "CommandNotFound" or "disabled" in exc.message:
        hint = f"Allow {name} there: remove it from the agent's block list (/etc/sysconfig/qemu-ga, /etc/qemu/qemu-ga.conf)"
        raise MachineError(f"the guest's agent may not {what}", hint=hint) from exc


async def _execute(look: Look, words: list[str], deadline: Deadline) -> dict[str, Any] | None:
    """What the agent says of the command's end; None while it runs, and the next look asks on."""
    async with look.agent(deadline) as session:
        if "pid" not in look.kept:
            arguments = {"path": words[0], "arg": words[1:], "capture-output": True}
            look.kept["pid"] = (await session.execute("guest-exec", arguments))["pid"]
        soon = Deadline(_SOON_SECONDS)
        try:
            while True:
                answer: dict[str, Any] = await session.execute("guest-exec-status", {"pid": look.kept["pid"]})
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


async def cloud_init(look: Look, value: str, deadline: Deadline) -> str:
    """By its own word where an agent answers, else by its last line on the console."""
    seen = SILENT
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
    look.found = facts
    return "" if status.startswith(("done", "degraded")) else f"its status is {status}"


async def addresses(look: Look, deadline: Deadline) -> list[str]:
    """The guest's own on the machine's cards, as its agent tells them."""
    macs = {(nic["mac"] or look.record.identity["macs"].get(name, "")).lower() for name, nic in look.spec["nics"].items()}
    try:
        async with look.agent(deadline) as session:
            cards = await session.execute("guest-network-get-interfaces")
    except MachineError:
        return []
    found = [item["ip-address"] for card in cards if card.get("hardware-address", "").lower() in macs for item in card.get("ip-addresses", ())]
    return [address for address in found if not address.lower().startswith(("fe80:", "169.254."))]


async def address(look: Look, value: bool, deadline: Deadline) -> str:
    look.found = await addresses(look, deadline)
    return "" if look.found else "the guest's agent tells no address"


async def listens(look: Look, port: int, deadline: Deadline) -> str:
    """Whether something in the guest listens on the port, whoever can reach it."""
    try:
        async with look.agent(deadline) as session:
            tables = [await read_file(session, path) for path in _TABLES]
    except UnresponsiveError:
        return SILENT
    except QmpError as exc:
        _raise_if_barred(exc, "read files", "guest-file-open")
        raise MachineError("the guest has no list of its ports (/proc/net/tcp)", hint="Use a command of its own: command: […]") from exc
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    look.found = [port for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port][:1]
    return "" if look.found else "nothing listens in the guest"


async def read_file(session: Agent, path: str) -> str:
    """A file of the guest."""
    handle, text = await session.execute("guest-file-open", {"path": path, "mode": "r"}), b""
    try:
        while True:
            piece = await session.execute("guest-file-read", {"handle": handle, "count": _PIECE})
            text += base64.b64decode(piece["buf-b64"])
            if piece["eof"] or not piece["count"]:
                return text.decode(errors="replace")
    finally:
        await session.execute("guest-file-close", {"handle": handle})
