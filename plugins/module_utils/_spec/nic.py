# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network cards, and host ports forwarded to the guest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from . import address, network
from .forward import forward_of, forwards
from .helper import Helper
from .live import Plug, Tell, Unplug, Wait
from .name import NAME_EXPECTS, NAME_PATTERN
from .option import LIVE, Option
from .part import Part
from .site import Site
from .slots import bus, why_full


def _live(change: Any, site: Site) -> list[Any]:
    """A whole card added or removed."""
    parts = plug(change.where[-1], {"nics": {change.where[-1]: change.after or change.before}}, site)
    if change.after is None:
        return [Unplug(parts)]
    reason = "the guest takes its address from its seed, at a boot" if change.after["address"] else ""
    reason = reason or network.why_later(change.after) or why_full(parts, site)
    return [Wait(reason)] if reason else [Plug(parts)]


def _live_link(change: Any, site: Site) -> list[Any]:
    return [Tell([{"execute": "set_link", "arguments": {"name": f"nic-{change.where[1]}", "up": change.after == "up"}}])]


def _live_forward(change: Any, site: Site) -> list[Any]:
    nic = change.where[1]
    if site.spec["nics"][nic]["network"] != "user":
        return [Wait("passt takes its forwards at its start")]
    lines = []
    # Removing what is not there is harmless; it makes adding safe to repeat after it was cut off.
    for forward in (forward_of(nic, item, site.identity) for item in (change.before, change.after) if item):
        lines.append(f"hostfwd_remove net-{nic} {forward.listener}")
    if change.after:
        lines.append(f"hostfwd_add net-{nic} {forward.listener}-:{forward.guest}")
    # QMP has no command of its own for forwards (up to QEMU 10.2): the human monitor's is asked through QMP.
    return [Tell([{"execute": "human-monitor-command", "arguments": {"command-line": line}} for line in lines])]


OPTIONS = (
    Option(
        "nics",
        "keyed",
        change=LIVE,
        live=_live,
        device="nic-{}",
        note="one comes where a PCIe port is free, and goes when the guest agrees; `passt` and `bridge` at the next start",
        options=(
            Option("name", required=True, pattern=NAME_PATTERN, expects=NAME_EXPECTS),
            *network.OPTIONS,
            *address.OPTIONS,
            Option("mac", pattern="^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$", expects="six pairs of hex digits, such as 52:54:00:12:34:56"),
            Option("model", "str", "virtio-net-pci", pattern="^[A-Za-z0-9_.-]+$", expects="a network device of QEMU, such as virtio-net-pci or e1000e"),
            Option("link", "str", "up", choices=("up", "down"), change=LIVE, live=_live_link, told=True),
            Option(
                "forwards",
                "keyed",
                key=("protocol", "guest"),
                change=LIVE,
                live=_live_forward,
                whole=True,
                note="of network `user`; `passt` takes its own at its start",
                options=(
                    Option("host", "str", "auto", pattern="^(auto|[0-9]{1,5})$", expects="a port from 1 to 65535, or auto"),
                    Option("guest", "int", required=True, minimum=1, maximum=65535, expects="a port from 1 to 65535"),
                    Option("protocol", "str", "tcp", choices=("tcp", "udp")),
                    Option("listen", "str", "127.0.0.1", expects="an IPv4 address of this host, such as 127.0.0.1 or 0.0.0.0"),
                ),
            ),
        ),
    ),
)


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    import ipaddress

    taken: dict[tuple[str, str, int], str] = {}
    for forward in forwards(spec, {}):
        path = f"nics[{forward.nic}].forwards[{forward.protocol}/{forward.guest}]"
        try:
            ipaddress.IPv4Address(forward.listen)
        except ValueError:
            yield SpecError(f"{path}.listen", f"{forward.listen!r} is no IPv4 address", hint="Such as 127.0.0.1 or 0.0.0.0")
        if forward.host is None:
            continue
        if not 1 <= forward.host <= 65535:
            yield SpecError(f"{path}.host", f"{forward.host} is no port", hint="Use 1 to 65535, or auto")
        place = (forward.protocol, forward.listen, forward.host)
        if place in taken:
            yield SpecError(f"{path}.host", f"{forward.host} is forwarded already by {taken[place]}", hint="Use another port, or auto")
        taken[place] = path
    macs: dict[str, str] = {}
    for name, nic in spec["nics"].items():
        yield from network.check(name, nic)
        yield from address.check(name, nic)
        mac = (nic["mac"] or "").lower()
        if mac and int(mac[:2], 16) & 1:
            yield SpecError(f"nics[{name}].mac", f"{nic['mac']} is a multicast address", hint="Its first byte must be even, such as 52")
        if mac and mac in macs:
            yield SpecError(f"nics[{name}].mac", f"{nic['mac']} is the MAC of {macs[mac]} too", hint="Give each its own, or leave it out")
        macs[mac] = f"nics[{name}]"


def make_mac(uuid: str, nic: str) -> str:
    """A MAC in QEMU's own range, the same for the same machine and NIC."""
    tail = hashlib.sha256(f"{uuid}/{nic}".encode()).hexdigest()
    return f"52:54:00:{tail[:2]}:{tail[2:4]}:{tail[4:6]}"


def slots(spec: dict[str, Any]) -> Iterator[str]:
    """The devices that take a PCIe port."""
    return (f"nic-{name}" for name, nic in spec["nics"].items() if not nic["model"].startswith("usb-"))


def plug(name: str, spec: dict[str, Any], site: Site) -> list[Part]:
    """The card's backends and its device."""
    nic = spec["nics"][name]
    netdev = network.netdev(name, spec, site)
    lines = [f"{f.listener}-:{f.guest}" for f in forwards({"nics": {name: nic}}, site.identity)]
    if lines and nic["network"] == "user":
        netdev["hostfwd"] = [{"str": line} for line in lines]
    if nic["network"] == "user" and nic["address"] and ":" not in nic["address"]:
        netdev["dhcpstart"] = nic["address"].partition("/")[0]  # where forwards lead to
    mac = nic["mac"] or site.identity["macs"].get(name)
    device = {"driver": nic["model"], "id": f"nic-{name}", **bus(f"nic-{name}", site), "netdev": f"net-{name}", "mac": mac}
    wire = network.wire(name, nic["switch"], site) if nic["network"] == "switch" else []
    return [Part("netdev", netdev), *wire, Part("device", device)]


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    for name in spec["nics"]:
        yield from plug(name, spec, site)


def helpers(spec: dict[str, Any], site: Site) -> Iterator[Helper]:
    for name, nic in spec["nics"].items():
        if nic["network"] == "passt":
            yield network.passt(name, forwards({"nics": {name: nic}}, site.identity), site)


def observe(spec: dict[str, Any], facts: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Forwards that QEMU does not have any more, has otherwise, or has beside; cards whose wire leads to a switch that ended."""
    for name in facts.unwired:
        yield ("nics", name, "switch"), None
    if facts.forwards is None:
        return
    for name, nic in spec["nics"].items():
        if nic["network"] != "user":
            continue
        there = {f"{item[1]}/{item[4]}": item for item in facts.forwards if item[0] == f"net-{name}"}
        for key in {**nic["forwards"], **there}:
            said, found = nic["forwards"].get(key), there.get(key)
            if not found:
                yield ("nics", name, "forwards", key), None
                continue
            _netdev, protocol, listen, port, guest = found
            if not said or said["listen"] != listen or said["host"] not in ("auto", str(port)):
                yield ("nics", name, "forwards", key), {"host": str(port), "guest": guest, "protocol": protocol, "listen": listen}
