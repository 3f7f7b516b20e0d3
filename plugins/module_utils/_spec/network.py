# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a network card is connected to: QEMU's own user-mode network, passt, a switch, a multicast group, or an interface of the host."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .helper import Helper, socket_path
from .live import Tell, Wait
from .name import NAME_EXPECTS, NAME_PATTERN
from .option import LIVE, Option
from .part import Part, hot_plug, unplug
from .site import Site

_OF_THE_HOST = ("bridge", "tap")
# The option that says which, by the word that needs it.
_WHICH = {"bridge": "interface", "tap": "interface", "switch": "switch", "mcast": "mcast"}
_SAMPLES = {"interface": "the host's device, such as br0", "switch": "the network, such as shop-lan", "mcast": "the group, such as 239.7.7.7:7777"}
# Bridges are joined before QEMU is there, which finds them at descriptors from here on.
_FIRST_DESCRIPTOR = 40


def _live_switch(change: Any, site: Site) -> list[Any]:
    """Behind the card is a hub in QEMU itself: the wire from there to a switch can be another, and its guest sees nothing of it."""
    name = change.where[1]
    if not change.after or site.running["nics"][name]["network"] != "switch":
        return [Wait("")]
    parts = wire(name, change.after, site)
    return [Tell([*(unplug(part) for part in reversed(parts)), *(hot_plug(part) for part in parts)])]


OPTIONS = (
    Option("network", "str", "user", choices=("user", "passt", "switch", "mcast", *_OF_THE_HOST)),
    Option("interface", pattern="^[A-Za-z0-9_.-]{1,15}$", expects="an interface of the host, such as br0"),
    Option("switch", pattern=NAME_PATTERN, expects=NAME_EXPECTS, change=LIVE, live=_live_switch, note="the guest sees nothing of it"),
    Option("mcast", pattern=r"^[0-9.]{7,15}:[0-9]{1,5}$", expects="a multicast address of IPv4 and a port, such as 239.7.7.7:7777"),
)


def check(name: str, nic: dict[str, Any]) -> Iterator[SpecError]:
    kind = nic["network"]
    for option in ("interface", "switch", "mcast"):
        path = f"nics[{name}].{option}"
        if _WHICH.get(kind) == option and not nic[option]:
            yield SpecError(path, f"is needed with network: {kind}", hint=f"Name {_SAMPLES[option]}")
        if _WHICH.get(kind) != option and nic[option]:
            words = [word for word in _WHICH if _WHICH[word] == option]
            yield SpecError(path, f"is not used with network: {kind}", hint=f"Set network: {' or '.join(words)}, or leave it out")
    if kind in _WHICH and nic["forwards"]:
        yield SpecError(f"nics[{name}].forwards", f"are not used with network: {kind}: the guest is reached itself", hint="Leave them out")
    if nic["mcast"]:
        yield from check_mcast(f"nics[{name}].mcast", nic["mcast"])


def check_mcast(path: str, group: str) -> Iterator[SpecError]:
    import ipaddress

    address, _colon, port = group.partition(":")
    try:
        sound = ipaddress.IPv4Address(address).is_multicast and 1 <= int(port) <= 65535
    except ValueError:
        sound = False
    if not sound:
        yield SpecError(path, f"{group!r} is no multicast group", hint="Use an address from 224.0.0.0 to 239.255.255.255 and a port, such as 239.7.7.7:7777")


def netdev(name: str, spec: dict[str, Any], site: Site) -> dict[str, Any]:
    """The card's backend, without forwards and without its wire to a switch."""
    nic = spec["nics"][name]
    backend: dict[str, Any] = {"type": "user", "id": f"net-{name}"}
    if nic["network"] == "passt":
        path = socket_path(site, f"net-{name}")
        backend.update(type="stream", server=False, addr={"type": "unix", "path": path})
    elif nic["network"] == "bridge":
        backend.update(type="tap", fd=str(_FIRST_DESCRIPTOR + list(bridges(spec)).index(name)))
    elif nic["network"] == "tap":
        backend.update(type="tap", ifname=nic["interface"], script="no", downscript="no")
    elif nic["network"] == "switch":
        backend.update(type="hubport", hubid=_hub(name))
    elif nic["network"] == "mcast":
        backend.update(type="socket", mcast=nic["mcast"])
    return backend


def _hub(name: str) -> int:
    """The number of the hub in QEMU that the card is on: one a card."""
    return zlib.crc32(name.encode()) & 0x7FFFFFFF


def wire(name: str, switch: str, site: Site) -> list[Part]:
    """From the card's hub to a switch."""
    known = site.identity.get("switches", {}).get(switch, {"medium": "vde", "path": ""})
    backend: dict[str, Any] = {"type": "vde", "id": f"wire-{name}", "sock": f"{known['path']}/vde"}
    if known["medium"] == "hub":
        socket = {"type": "unix", "path": port_path(known["path"], site.name, name)}
        backend = {"type": "stream", "id": f"wire-{name}", "server": False, "addr": socket}
    return [Part("netdev", backend), Part("netdev", {"type": "hubport", "id": f"port-{name}", "hubid": _hub(name), "netdev": f"wire-{name}"})]


def port_path(run_dir: str, machine: str, nic: str) -> str:
    """Where a hub listens for one card: nobody but its QEMU connects there."""
    return f"{run_dir}/{hashlib.sha256(f'{machine}/{nic}'.encode()).hexdigest()[:8]}.sock"


def switches(spec: dict[str, Any]) -> dict[str, str]:
    """The switch of each card that is on one."""
    return {name: nic["switch"] for name, nic in spec.get("nics", {}).items() if nic["network"] == "switch"}


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
