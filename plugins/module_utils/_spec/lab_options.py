# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of a lab file, as records: those of a machine and what is a lab's alone."""

from __future__ import annotations

from dataclasses import replace

from . import declaration, image
from .name import NAME_EXPECTS, NAME_PATTERN
from .option import Option

_SECONDS = "seconds"
# How a card is told of its network in a machine's own words: a lab's card names the network.
_OF_THE_CARD = ("switch", "mcast")


def _in_a_lab(option: Option) -> Option:
    """A machine's option, where a card's network may be one of the lab's."""
    if option.name != "nics":
        return option
    network = Option("network", "str", "user", pattern=NAME_PATTERN, expects="a network of the lab, or user, passt, bridge or tap")
    cards = (network if item.name == "network" else item for item in option.options if item.name not in _OF_THE_CARD)
    return replace(option, options=tuple(cards))


NETWORK = (
    Option("driver", "str", "switch", choices=("switch", "hub", "mcast", "bridge")),
    Option("subnet", pattern="^[0-9A-Fa-f:.]+/[0-9]{1,3}$", expects="a network and its prefix, such as 10.10.0.0/24"),
    Option("gateway", pattern="^[0-9A-Fa-f:.]+$", expects="an address within subnet, such as 10.10.0.1"),
    Option("dns", "list"),
    Option("uplink", "str", "none", choices=("none", "nat")),
    Option("interface", pattern="^[A-Za-z0-9_.-]{1,15}$", expects="a bridge of the host, such as br0"),
    Option("mcast", pattern=r"^[0-9.]+:[0-9]{1,5}$", expects="a multicast address and a port, such as 239.255.7.1:5007"),
    Option("links", "named", options=(Option("ssh", pattern=r"^\S+$", expects="a destination of ssh, such as ann@hv2.example.com"),)),
)

# What defaults, profiles and machines have alike.
MACHINE = (
    *map(_in_a_lab, declaration.OPTIONS),
    Option("host"),
    Option("ready", "list", elements="dict"),
    Option("ready_timeout", "float", 300, minimum=0, expects=_SECONDS),
    Option("timeout", "float", minimum=0, expects=_SECONDS),
    Option("shutdown_timeout", "float", minimum=0, expects=_SECONDS),
)
_PROFILE = Option("profile", "names")

LAB = (
    Option("lab", required=True, pattern=NAME_PATTERN, expects=NAME_EXPECTS),
    Option("labels", "dict"),
    Option("defaults", "map", options=(*MACHINE, _PROFILE)),
    Option("profiles", "named", options=MACHINE),
    Option("images", "named", options=tuple(option for option in image.OPTIONS[0].options if option.name != "name")),
    Option("networks", "named", options=NETWORK),
    Option(
        "vms",
        "named",
        options=(
            *MACHINE,
            _PROFILE,
            Option("name", pattern=NAME_PATTERN, expects=NAME_EXPECTS),
            Option("count", "int", minimum=0, expects="how many there are, from 0"),
            Option("depends_on", "names"),
        ),
    ),
)
