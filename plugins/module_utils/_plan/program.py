# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs of a network: its switch, its way outside, its links to switches of other hosts."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._spec.part import Part, command_line
from .._spec.subnet import dhcp_start, dns_of, gateway_of, parse_address, parse_subnet

SWITCH, UPLINK = "switch", "uplink"
# Any QEMU of this host, whatever it emulates: there is no machine in it.
QEMU = "qemu"
# What a link says of itself, in its log.
LINK_UP = "maqet: the link is up"
_PORTS = 1024
_BARE = ("-machine", "none", "-nodefaults", "-no-user-config", "-display", "none")
_SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
# A link that is dead is noticed within a quarter of a minute.
_SSH = {"BatchMode": "yes", "ServerAliveInterval": "5", "ServerAliveCountMax": "3", "ConnectTimeout": "10", "ControlPath": "none"}


# A switch that is linked to another takes no link itself: that might be a circle, in which frames go round for ever. It also ends
# a link that leads to its own beginning.
_STAR = (
    'for p in "$d/{name}"/link-*.pid; do if test -e "$p" && grep -qs {name} "/proc/$(cat "$p")/cmdline"; then l=${{p##*/link-}};'
    ' echo "the switch there is linked to ${{l%.pid}} itself: links lead from all hosts to one" >&2; exit 1; fi; done;'
)


class Program(NamedTuple):
    """
    :param argv: its first word is a bare name; parts: what a hub's QEMU is told later too.
    :param lasting: started again however it ended.
    """

    name: str
    argv: list[str]
    title: str
    lasting: bool = False

    @property
    def kind(self) -> str:
        return self.name.partition("-")[0]

    def is_in(self, argv: list[str]) -> bool:
        """Whether a process with these arguments is this program; which file a bare name leads to does not matter, and dpipe may
        have become the last of its commands."""
        if self.argv[0] != "dpipe":
            return argv[1 : len(self.argv)] == self.argv[1:]
        last = self.argv[len(self.argv) - self.argv[::-1].index("=") + 1 :]
        return argv[-len(last) :] == last


def programs(network: str, run_dir: str, medium: str, declared: dict[str, Any]) -> dict[str, Program]:
    """By name, in the order of their start."""
    found = [Program(SWITCH, _hub(run_dir) if medium == "hub" else _switch(run_dir), "switch")]
    if medium == "vde":
        if declared["uplink"] == "nat":
            found.append(Program(UPLINK, _uplink(run_dir, declared), "uplink"))
        links = {_word(peer): link for peer, link in sorted(declared["links"].items())}
        found += [Program(f"link-{word}", _link(run_dir, link), f"link to {word}", lasting=True) for word, link in links.items()]
    return {program.name: program for program in found}


def _word(peer: str) -> str:
    """A host's name as files and units are called by it: an inventory may have any."""
    if re.fullmatch("[A-Za-z0-9_.-]{1,63}", peer):
        return peer
    return f"{re.sub('[^A-Za-z0-9_.-]', '_', peer)[:40]}-{hashlib.sha256(peer.encode()).hexdigest()[:8]}"


def _switch(run_dir: str) -> list[str]:
    return ["vde_switch", "-s", f"{run_dir}/vde", "-m", "0600", "--dirmode", "0700", "-n", str(_PORTS)]


def _hub(run_dir: str) -> list[str]:
    return [QEMU, *_BARE, *_SANDBOX, *_monitor(run_dir, SWITCH)]


def _uplink(run_dir: str, declared: dict[str, Any]) -> list[str]:
    wire = Part("netdev", {"type": "vde", "id": "switch", "sock": f"{run_dir}/vde"})
    plug = Part("netdev", {"type": "hubport", "id": "switch-port", "hubid": 0, "netdev": "switch"})
    return [QEMU, *_BARE, *_SANDBOX, *_monitor(run_dir, UPLINK), *command_line([wire, plug, *uplink_parts(declared)])]


def _monitor(run_dir: str, name: str) -> list[str]:
    return ["-qmp", f"unix:{monitor_path(run_dir, name).replace(',', ',,')},server=on,wait=off"]


def monitor_path(run_dir: str, name: str) -> str:
    """Where a QEMU of a network is spoken to."""
    return f"{run_dir}/{name}.qmp"


def uplink_parts(declared: dict[str, Any]) -> Iterator[Part]:
    """QEMU's user-mode network as the router of the subnet; machines without an address ask its DHCP."""
    subnet = declared["subnet"]
    backend: dict[str, Any] = {"type": "user", "id": UPLINK}
    if subnet:
        said = declared["dns"] if isinstance(declared["dns"], str) else next(iter(declared["dns"] or ()), "")
        gateway, dns = gateway_of(subnet, declared["gateway"]), _inside(subnet, said)
    if ":" in subnet:
        prefix, _slash, length = subnet.partition("/")
        backend.update({"ipv4": False, "ipv6": True, "ipv6-prefix": prefix, "ipv6-prefixlen": int(length)})
        backend.update({"ipv6-host": gateway, "ipv6-dns": dns})
    elif subnet:
        backend.update(net=subnet, host=gateway, dns=dns, dhcpstart=dhcp_start(subnet, gateway, dns))
    yield Part("netdev", backend)
    yield Part("netdev", {"type": "hubport", "id": "uplink-port", "hubid": 0, "netdev": UPLINK})


def _inside(subnet: str, dns: str) -> str:
    """A name server elsewhere is reached through the uplink: its own has its usual place then."""
    return dns if dns and parse_address(dns) in parse_subnet(subnet) else dns_of(subnet)


def _link(run_dir: str, link: dict[str, Any]) -> list[str]:
    """Frames of both switches through one ssh; where the other one is, that host knows."""
    name = run_dir.rpartition("/")[2]
    # As find_runtime() of that host's _host/paths.py does.
    place = 'r=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}; d=$r/maqet; test -d "$r" || d=${TMPDIR:-/tmp}/maqet-$(id -u)'
    # Where there is no switch vde_plug ends at once.
    up = f'(sleep 1; kill -0 $$ 2>/dev/null && echo "{LINK_UP}" >&2) </dev/null >/dev/null &'
    there = f'{place}; {_STAR.format(name=name)} {up} exec vde_plug "$d/{name}/vde"'
    options = [word for key, value in {**_SSH, **link.get("options", {})}.items() for word in ("-o", f"{key}={value}")]
    return ["dpipe", "vde_plug", f"{run_dir}/vde", "=", "ssh", "-T", *options, "--", link["ssh"], f"exec sh -c {shlex.quote(there)}"]
