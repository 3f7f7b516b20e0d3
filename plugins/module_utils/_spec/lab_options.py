# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of a lab file, as records: those of a machine and what is a lab's alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from . import declaration, image
from .lab import MOST
from .name import NAME_EXPECTS, NAME_PATTERN
from .option import Option

_SECONDS = "seconds"


def _option(name: str, kind: str = "str", default: Any = None, **rules: Any) -> Option:
    """One that is a lab's, and whose change is nothing to a running QEMU."""
    return Option(name, kind, default, change="", **rules)


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
    _option("driver", "str", "switch", choices=("switch", "hub", "mcast", "bridge")),
    _option("subnet", pattern="^[0-9A-Fa-f:.]+/[0-9]{1,3}$", expects="a network and its prefix, such as 10.10.0.0/24"),
    _option("gateway", pattern="^[0-9A-Fa-f:.]+$", expects="an address within subnet, such as 10.10.0.1"),
    _option("dns", "list"),
    _option("uplink", "str", "none", choices=("none", "nat")),
    _option("interface", pattern="^[A-Za-z0-9_.-]{1,15}$", expects="a bridge of the host, such as br0"),
    _option("mcast", pattern=r"^[0-9.]+:[0-9]{1,5}$", expects="a multicast address and a port, such as 239.255.7.1:5007"),
    _option("links", "named", options=(_option("ssh", required=True, pattern=r"^\S+$", expects="a destination of ssh, such as ann@hv2.example.com"),)),
)

# What defaults, profiles and machines have alike.
MACHINE = (
    *map(_in_a_lab, declaration.OPTIONS),
    _option("host"),
    _option("ready", "list", elements="dict"),
    _option("ready_timeout", "float", 300, minimum=0, expects=_SECONDS),
    _option("timeout", "float", minimum=0, expects=_SECONDS),
    _option("shutdown_timeout", "float", minimum=0, expects=_SECONDS),
)
_PROFILE = _option("profile", "names")

LAB = (
    _option("lab", required=True, pattern=NAME_PATTERN, expects=NAME_EXPECTS),
    _option("labels", "dict"),
    _option("defaults", "map", options=(*MACHINE, _PROFILE)),
    _option("profiles", "named", pattern=NAME_PATTERN, expects=NAME_EXPECTS, options=MACHINE),
    _option(
        "images", "named", pattern=NAME_PATTERN, expects=NAME_EXPECTS, options=tuple(option for option in image.OPTIONS[0].options if option.name != "name")
    ),
    _option("networks", "named", pattern=NAME_PATTERN, expects=NAME_EXPECTS, options=NETWORK),
    _option(
        "vms",
        "named",
        pattern=NAME_PATTERN,
        expects=NAME_EXPECTS,
        options=(
            *MACHINE,
            _PROFILE,
            _option("name", pattern=NAME_PATTERN, expects=NAME_EXPECTS),
            _option("count", "int", minimum=0, maximum=MOST, expects=f"a whole number from 0 to {MOST}"),
            _option("depends_on", "names"),
        ),
    ),
)
