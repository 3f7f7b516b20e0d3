# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Host ports for forwards."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from .._errors import HostError
from .._plan.record import Record
from .._spec.forward import Forward, forwards

# Below the kernel's ephemeral range (32768 on), so that no outgoing connection takes one while its machine is stopped.
_FIRST, _LAST = 20000, 32767


def allot(record: Record, taken: dict[tuple[str, int], str]) -> dict[str, int]:
    """A port for every ``auto`` forward: the one it had, else a free one.

    :param taken: ports of this user's machines, by ``(protocol, port)``.
    """
    stored = record.identity.get("ports", {})
    ports: dict[str, int] = {}
    for item in forwards(record.declared, {}):
        if item.host is not None:
            continue
        ports[item.key] = stored.get(item.key) or _free(item, record.name, taken)
        taken[(item.protocol, ports[item.key])] = record.name
    return ports


def _free(item: Forward, machine: str, taken: dict[tuple[str, int], str]) -> int:
    reason = why_taken(item._replace(host=0))
    if reason:
        path = f"nics[{item.nic}].forwards[{item.protocol}/{item.guest}].listen"
        raise HostError(f"{path}: {item.listen} cannot be listened on: {reason}", hint="Use an address of this host", path=path)
    for port in _candidates(f"{machine}/{item.key}"):
        if (item.protocol, port) not in taken and not why_taken(item._replace(host=port)):
            return port
    raise HostError(f"no host port from {_FIRST} to {_LAST} is free", hint="Remove forwards, or name ports yourself")


def _candidates(word: str) -> Iterator[int]:
    """Every port of the range, from a place of the machine's own on: two tasks at once seldom want the same."""
    import zlib

    count = _LAST - _FIRST + 1
    start = zlib.crc32(word.encode()) % count
    return (_FIRST + (start + step) % count for step in range(count))


def why_taken(item: Forward) -> str:
    """Why the host's port cannot be listened on; empty when it can."""
    kind = socket.SOCK_STREAM if item.protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if item.protocol == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((item.listen, item.host or 0))
        except PermissionError:
            return f"ports below {_unprivileged()} need root"
        except OSError as exc:
            return os.strerror(exc.errno or 0)
    return ""


def check(wanted: list[Forward], held: set[tuple[str, int]], others: dict[tuple[str, int], str]) -> None:
    """
    :param held: ports that the machine's own running QEMU listens on.
    :param others: who holds which port among this user's other machines, running or not.
    :raises HostError: naming the forward whose port cannot be had.
    """
    for item in wanted:
        reason = _why_not(item, held, others)
        if reason:
            path = f"nics[{item.nic}].forwards[{item.protocol}/{item.guest}].host"
            raise HostError(f"{path}: port {item.host} on {item.listen} cannot be used: {reason}", hint="Use another port, or auto", path=path)


def _why_not(item: Forward, held: set[tuple[str, int]], others: dict[tuple[str, int], str]) -> str:
    port = (item.protocol, item.host or 0)
    if port in others:
        return f"machine {others[port]} has it"
    return "" if item.host is None or port in held else why_taken(item)


def _unprivileged() -> str:
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return "1024"
