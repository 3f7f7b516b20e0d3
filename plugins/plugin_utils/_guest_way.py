# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to the socket of a machine of this user on this host; and why there is none, by what is stored and recorded of the machine."""

from __future__ import annotations

import asyncio
from typing import Any

from ..module_utils._errors import MachineError, MaqetError, SpecError
from ..module_utils._host import recorder
from ..module_utils._host.deadline import Deadline
from ..module_utils._host.glance import Choice, glance
from ..module_utils._host.liveness import living_pid, process_facts
from ..module_utils._host.watch import STILL

_PAUSE = 0.05
_PORT = "guest-agent"
NO_AGENT = "Install qemu-guest-agent in the guest and start it; a guest that boots takes a while (maqet_guest_timeout)"


def check(name: str, facts: dict[str, Any] | None, whose: str) -> str:
    """The socket of a machine of which ``maqet_vm_info`` tells these facts briefly.

    :raises MaqetError: nobody can speak to its agent now.
    """
    if facts is None:
        hint = "maqet_guest_vm names it where the host has another name, maqet_guest_hypervisor the host that runs it"
        raise SpecError("maqet_guest_vm", f"{whose} has no machine {name!r}", hint=hint)
    status = facts.get("status")
    if facts.get("pid") is None:
        what = "its memory is saved" if status == "suspended" else "it does not run"
        raise MachineError(f"the machine {name} cannot be spoken to: {what}", hint="maqet_vm with state: started starts it", status=status)
    if not facts.get("guest_agent"):
        raise MachineError(f"the machine {name} has no channel for an agent", hint="Declare guest_agent: true, it takes effect at its next start")
    if status in STILL:
        raise MachineError(f"the machine {name} cannot be spoken to: {STILL[status]}", hint="maqet_vm with state: started lets it go on", status=status)
    return str((facts.get("sockets") or {}).get("agent", ""))


class Here:
    """:param name: the machine's."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def find(self, deadline: Deadline) -> str:
        """Nobody speaks before the guest has opened its end: what is said before that is answered later, and nobody waits for it then."""
        begun = Deadline(deadline.left / 2)
        while True:
            facts = self._facts()
            path = check(self._name, facts, "this user on this host")
            is_open = _is_open(facts["directory"]) if facts else None
            # A guest that came with its memory opened it before our record begins.
            if is_open or (is_open is None and begun.over):
                return path
            if deadline.over:
                raise MachineError(f"no agent has come up in the guest of {self._name}", hint=NO_AGENT)
            await asyncio.sleep(_PAUSE)

    async def why(self, error: MachineError) -> MachineError:
        try:
            facts = self._facts()
            check(self._name, facts, "this user on this host")
        except MaqetError as exc:
            return exc if isinstance(exc, MachineError) else MachineError(exc.message, hint=exc.hint)
        directory = facts["directory"] if facts else ""
        if process_facts(living_pid(directory) or 0).get("State", "").startswith(("T", "t")):
            return MachineError(f"{error.message}: QEMU's process is stopped", hint="kill -CONT wakes it", status="unresponsive")
        if not _is_open(directory):
            return MachineError(f"no agent has come up in the guest of {self._name}", hint=NO_AGENT)
        return MachineError(error.message, hint=error.hint or "Its agent is busy or hangs, or another client holds its socket", status="unresponsive")

    def _facts(self) -> dict[str, Any] | None:
        found, _warnings = glance(Choice([self._name]))
        return found[0] if found else None

    def prepare(self) -> None:
        """Nothing is to be asked before."""

    def explain(self, error: MaqetError) -> MaqetError:
        return error

    def close(self) -> None:
        """Nothing is kept open."""


def _is_open(directory: str) -> bool | None:
    """Whether the guest has its end of the channel open, by the last word of QEMU's; None when there is none since its start."""
    events, _position = recorder.read_events(directory, recorder.last_boot(directory).events)
    said = [event["data"]["open"] for event in events if event["event"] == "VSERPORT_CHANGE" and event["data"].get("id") == _PORT]
    return said[-1] if said else None
