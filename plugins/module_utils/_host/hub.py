# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hub: a QEMU without a machine, whose ports are sockets that one card each connects to.

What it was told is in a file, and is on its command line when it is started again after a crash.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from .._errors import QmpError
from .._plan.network import NetworkRecord
from .._plan.program import SWITCH, UPLINK, monitor_path, uplink_parts
from .._spec.part import Part, command_line, hot_plug, unplug
from .deadline import Deadline
from .paths import write_private
from .programs import living, write_command
from .qmp import open_monitor, tell

_SECONDS = 10.0


def read_told(directory: str) -> dict[str, list[Part]]:
    """What the hub has beside its hub: parts by port, or under ``uplink``."""
    try:
        with open(f"{directory}/told.json", encoding="utf-8") as file:
            return {name: [Part("netdev", value) for value in values] for name, values in json.load(file).items()}
    except (OSError, ValueError):
        return {}


def port_name(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def port_parts(path: str) -> list[Part]:
    """A port at a socket; it listens again when the card's QEMU is another (QEMU 7.2 and 10.0)."""
    name = port_name(path)
    backend = {"type": "stream", "id": f"card-{name}", "server": True, "addr": {"type": "unix", "path": path}}
    return [Part("netdev", backend), Part("netdev", {"type": "hubport", "id": f"port-{name}", "hubid": 0, "netdev": f"card-{name}"})]


def first_told(record: NetworkRecord) -> list[str]:
    """Arguments of a hub that is to be started: the ports that it had, and the uplink as it is declared now."""
    told = {name: parts for name, parts in read_told(record.directory).items() if name != UPLINK}
    told = {name: port_parts(f"{record.run_dir}/{name}.sock") for name in told}
    if record.declared["uplink"] == "nat":
        told[UPLINK] = list(uplink_parts(record.declared))
    _write_told(record, told)
    return command_line([part for parts in told.values() for part in parts])


async def tell_hub(record: NetworkRecord, changes: dict[str, list[Part]]) -> None:
    """Exchange what the hub has under these names; no parts: take it away. Under the network's lock, and safe to repeat."""
    told = read_told(record.directory)
    async with open_monitor(monitor_path(record.run_dir, SWITCH), Deadline(_SECONDS)) as monitor:
        for name, parts in changes.items():
            for part in reversed(told.get(name) or parts):
                with suppress(QmpError):
                    await tell(monitor, unplug(part))
            for part in parts:
                await tell(monitor, hot_plug(part))
    told = {name: parts for name, parts in {**told, **changes}.items() if parts}
    _write_told(record, told)
    found = living(record.run_dir, SWITCH)
    if found:
        base = found.argv[: len(record.programs[SWITCH].argv)]
        write_command(record, SWITCH, [*base, *command_line([part for parts in told.values() for part in parts])])


def _write_told(record: NetworkRecord, told: dict[str, list[Part]]) -> None:
    values: dict[str, Any] = {name: [part.value for part in parts] for name, parts in told.items()}
    write_private(f"{record.directory}/told.json", json.dumps(values), durable=False)
