# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a network card is connected to: QEMU's own user-mode network, passt, or an interface of the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .helper import Helper, socket_path
from .option import Option
from .site import Site

_OF_THE_HOST = ("bridge", "tap")
# Bridges are joined before QEMU is there, which finds them at descriptors from here on.
_FIRST_DESCRIPTOR = 40

OPTIONS = (
    Option("network", "str", "user", choices=("user", "passt", *_OF_THE_HOST)),
    Option("interface", pattern="^[A-Za-z0-9_.-]{1,15}$", expects="an interface of the host, such as br0"),
)


def check(name: str, nic: dict[str, Any]) -> Iterator[SpecError]:
    kind = nic["network"]
    if kind in _OF_THE_HOST and not nic["interface"]:
        yield SpecError(f"nics[{name}].interface", f"is needed with network: {kind}", hint=f"Name the host's {kind} device, such as {kind[:2]}0")
    if kind not in _OF_THE_HOST and nic["interface"]:
        yield SpecError(f"nics[{name}].interface", f"is not used with network: {kind}", hint="Set network: bridge or tap, or leave it out")
    if kind in _OF_THE_HOST and nic["forwards"]:
        yield SpecError(f"nics[{name}].forwards", f"are not used with network: {kind}: the guest is reached itself", hint="Leave them out")


def netdev(name: str, spec: dict[str, Any], site: Site) -> dict[str, Any]:
    """The card's backend, without forwards."""
    nic = spec["nics"][name]
    backend: dict[str, Any] = {"type": "user", "id": f"net-{name}"}
    if nic["network"] == "passt":
        path = socket_path(site, f"net-{name}")
        backend.update(type="stream", server=False, addr={"type": "unix", "path": path})
    elif nic["network"] == "bridge":
        backend.update(type="tap", fd=str(_FIRST_DESCRIPTOR + list(bridges(spec)).index(name)))
    elif nic["network"] == "tap":
        backend.update(type="tap", ifname=nic["interface"], script="no", downscript="no")
    return backend


def why_later(nic: dict[str, Any]) -> str:
    """Why such a card cannot come while the machine runs; empty when it can."""
    return {"passt": "passt starts before QEMU", "bridge": "bridges are joined before QEMU starts"}.get(nic["network"], "")


def bridges(spec: dict[str, Any]) -> dict[str, str]:
    """The bridges to join, by card."""
    return {name: nic["interface"] for name, nic in spec["nics"].items() if nic["network"] == "bridge"}


def descriptors(spec: dict[str, Any]) -> list[str]:
    """``<descriptor>=<bridge>``, as ``joined.py`` takes them."""
    return [f"{number}={bridge}" for number, bridge in enumerate(bridges(spec).values(), _FIRST_DESCRIPTOR)]


def passt(name: str, forwards: list[Any], site: Site) -> Helper:
    path = socket_path(site, f"net-{name}")
    argv = ["passt", "--foreground", "--one-off", "--log-file", f"{site.directory}/net-{name}.log", "--socket", path]
    for item in forwards:
        argv += ["--tcp-ports" if item.protocol == "tcp" else "--udp-ports", f"{item.listen}/{item.host}:{item.guest}"]
    return Helper(f"net-{name}", f"nics[{name}].network", argv, path, f"nic-{name}")
