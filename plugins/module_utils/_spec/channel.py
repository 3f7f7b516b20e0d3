# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways in that every machine has: three monitors, the serial console, the guest agent's channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .option import Option
from .part import Part
from .site import Site

OPTIONS = (Option("guest_agent", "bool", True, device="guest-agent"),)
AGENT_BUS = Part("device", {"driver": "virtio-serial-pci", "id": "virtio-serial"})


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    # qmp is ours, monitor is the user's own, the recorder writes every event to the unit's standard output.
    for name in ("qmp", "monitor"):
        yield Part("chardev", _socket(name, site.sockets[name]))
        yield Part("mon", {"chardev": name, "mode": "control"})
    yield Part("chardev", {"backend": "stdio", "id": "recorder", "signal": False, "mux": False})
    yield Part("mon", {"chardev": "recorder", "mode": "control"})
    log = {"logfile": f"{site.directory}/serial.log", "logappend": True}
    yield Part("chardev", {**_socket("serial", site.sockets["serial"]), **log})
    yield Part("serial", "chardev:serial")
    if spec["guest_agent"]:
        yield Part("chardev", _socket("agent", site.sockets["agent"]))
        yield AGENT_BUS
        yield Part(
            "device",
            {"driver": "virtserialport", "id": "guest-agent", "bus": "virtio-serial.0", "chardev": "agent", "name": "org.qemu.guest_agent.0"},
        )


def _socket(name: str, path: str) -> dict[str, Any]:
    return {"backend": "socket", "id": name, "path": path, "server": True, "wait": False}
