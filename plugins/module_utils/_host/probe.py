# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a QEMU binary is and can do, asked of itself once and kept by its path, time and size."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import subprocess
from typing import Any

from .._errors import HostError, MaqetError
from .command import find_program
from .deadline import Deadline
from .paths import Paths, make_private, write_private
from .qmp import Monitor, open_monitor

_SECONDS = 20


def find_qemu(arch: str) -> str:
    """``qemu-system-<arch>`` of this host."""
    return find_program(f"qemu-system-{arch}", f"Install the package that has it (qemu-system-x86 on Debian for x86_64), or check arch: {arch}")


async def qemu_facts(paths: Paths, binary: str, *, keep: bool = True) -> dict[str, Any]:
    """``{version, machines: {name or alias: versioned type}, netdevs: [backend, …], kvm: built in or not,
    pci: [driver that is a PCI device, …]}``.

    :param keep: whether the answer may be stored.
    """
    facts: dict[str, Any] = await _cached(paths, binary, "facts", keep)
    return facts


async def qmp_schema(paths: Paths, binary: str, *, keep: bool = True) -> list[dict[str, Any]]:
    """The answer to ``query-qmp-schema``."""
    schema: list[dict[str, Any]] = await _cached(paths, binary, "schema", keep)
    return schema


async def qemu_types(paths: Paths, binary: str, *, keep: bool = True, fresh: bool = False) -> list[str]:
    """The types of its object model: devices, character device backends, …

    :param fresh: ask again: a package that adds some does not change the binary.
    """
    types: list[str] = await _cached(paths, binary, "types", keep, fresh)
    return types


async def _cached(paths: Paths, binary: str, what: str, keep: bool, fresh: bool = False) -> Any:
    file = f"{paths.cache}/qemu/{_key(binary)}.{what}.json"
    try:
        with open(file, encoding="utf-8") as stream:
            if not fresh:
                return json.load(stream)
    except (OSError, ValueError):
        pass
    answers = await _ask(binary)
    if keep:
        make_private(os.path.dirname(file))
        for name, answer in answers.items():
            write_private(f"{paths.cache}/qemu/{_key(binary)}.{name}.json", json.dumps(answer))
    return answers[what]


def _key(binary: str) -> str:
    facts = os.stat(binary)
    return hashlib.sha256(f"{os.path.realpath(binary)} {facts.st_mtime_ns} {facts.st_size}".encode()).hexdigest()[:16]


async def _ask(binary: str) -> dict[str, Any]:
    ours, its = socket.socketpair()
    argv = [binary, "-machine", "none", "-nodefaults", "-no-user-config", "-display", "none"]
    argv += ["-chardev", f"socket,id=qmp,fd={its.fileno()}", "-mon", "chardev=qmp,mode=control"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=[its.fileno()])
    its.close()
    try:
        async with open_monitor(ours, Deadline(_SECONDS)) as monitor:
            return await _answers(monitor)
    except MaqetError as exc:
        process.kill()
        words = (process.communicate()[1] or b"").decode(errors="replace").strip()
        raise HostError(f"{binary} cannot be asked what it can do: {words or exc.message}") from exc
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)


async def _answers(monitor: Monitor) -> dict[str, Any]:
    machines = {}
    for item in await monitor.execute("query-machines"):
        machines[item["name"]] = item["name"]
        if "alias" in item:
            machines[item["alias"]] = item["name"]
    schema = await monitor.execute("query-qmp-schema")
    kvm = (await monitor.execute("query-kvm"))["present"]
    facts = {"version": monitor.qemu_version, "machines": machines, "netdevs": _netdevs(schema), "kvm": kvm}
    facts["pci"] = [item["name"] for item in await monitor.execute("qom-list-types", {"implements": "pci-device", "abstract": False})]
    types = [item["name"] for item in await monitor.execute("qom-list-types", {"abstract": False})]
    return {"facts": facts, "schema": schema, "types": types}


def _netdevs(schema: list[dict[str, Any]]) -> list[str]:
    """The network backends that this QEMU was built with: what ``netdev_add`` takes."""
    entries = {entry["name"]: entry for entry in schema}
    netdev = entries[entries["netdev_add"]["arg-type"]]
    kinds = next(entries[member["type"]] for member in netdev["members"] if member["name"] == netdev["tag"])
    return sorted(kinds["values"])
