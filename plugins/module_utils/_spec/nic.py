# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network cards in QEMU's user-mode network, and host ports forwarded to the guest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._errors import SpecError
from .identity import NAME_EXPECTS, NAME_PATTERN
from .option import LIVE, Option
from .part import Part
from .site import Site


class Forward(NamedTuple):
    """A port of the host that leads to one of the guest. ``host`` is None until a port is allotted."""

    nic: str
    protocol: str
    listen: str
    host: int | None
    guest: int

    @property
    def key(self) -> str:
        return f"{self.nic}/{self.protocol}/{self.guest}"

    @property
    def listener(self) -> str:
        """QEMU's word for the host's side, as ``hostfwd_remove`` wants it."""
        return f"{self.protocol}:{self.listen}:{self.host}"


def _forward_live(change: Any, site: Site) -> list[dict[str, Any]]:
    nic = change.where[1]
    lines = []
    # Removing what is not there is harmless; it makes adding safe to repeat after it was cut off.
    for forward in (_forward(nic, item, site.identity) for item in (change.before, change.after) if item):
        lines.append(f"hostfwd_remove net-{nic} {forward.listener}")
    if change.after:
        lines.append(f"hostfwd_add net-{nic} {forward.listener}-:{forward.guest}")
    # QMP has no command of its own for forwards (up to QEMU 10.2): the human monitor's is asked through QMP.
    return [{"execute": "human-monitor-command", "arguments": {"command-line": line}} for line in lines]


OPTIONS = (
    Option(
        "nics",
        "keyed",
        options=(
            Option("name", required=True, pattern=NAME_PATTERN, expects=NAME_EXPECTS),
            Option("network", "str", "user", choices=("user",)),
            Option("mac", pattern="^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$", expects="six pairs of hex digits, such as 52:54:00:12:34:56"),
            Option("model", "str", "virtio-net-pci", pattern="^[A-Za-z0-9_.-]+$", expects="a network device of QEMU, such as virtio-net-pci or e1000e"),
            Option(
                "forwards",
                "keyed",
                key=("protocol", "guest"),
                change=LIVE,
                live=_forward_live,
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
        mac = (nic["mac"] or "").lower()
        if mac and int(mac[:2], 16) & 1:
            yield SpecError(f"nics[{name}].mac", f"{nic['mac']} is a multicast address", hint="Its first byte must be even, such as 52")
        if mac and mac in macs:
            yield SpecError(f"nics[{name}].mac", f"{nic['mac']} is the MAC of {macs[mac]} too", hint="Give each its own, or leave it out")
        macs[mac] = f"nics[{name}]"


def forwards(spec: dict[str, Any], identity: dict[str, Any]) -> list[Forward]:
    """Every forward of the machine; ``auto`` ones carry the port allotted in ``identity``."""
    return [_forward(name, forward, identity) for name, nic in spec["nics"].items() for forward in nic["forwards"].values()]


def _forward(nic: str, forward: dict[str, Any], identity: dict[str, Any]) -> Forward:
    host = None if forward["host"] == "auto" else int(forward["host"])
    named = Forward(nic, forward["protocol"], forward["listen"], host, forward["guest"])
    return named if host is not None else named._replace(host=identity.get("ports", {}).get(named.key))


def make_mac(uuid: str, nic: str) -> str:
    """A MAC in QEMU's own range, the same for the same machine and NIC."""
    tail = hashlib.sha256(f"{uuid}/{nic}".encode()).hexdigest()
    return f"52:54:00:{tail[:2]}:{tail[2:4]}:{tail[4:6]}"


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    for name, nic in spec["nics"].items():
        netdev: dict[str, Any] = {"type": "user", "id": f"net-{name}"}
        lines = [f"{f.listener}-:{f.guest}" for f in forwards(spec, site.identity) if f.nic == name]
        if lines:
            netdev["hostfwd"] = [{"str": line} for line in lines]
        yield Part("netdev", netdev)
        mac = nic["mac"] or site.identity["macs"][name]
        yield Part("device", {"driver": nic["model"], "id": f"nic-{name}", "netdev": f"net-{name}", "mac": mac})
