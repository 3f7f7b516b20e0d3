# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The networks of a lab, and the cards on them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .._errors import SpecError
from .name import NAME_EXPECTS, NAME_PATTERN
from .subnet import GUESTS, dhcp_start, first, is_host, nth, parse_address, parse_subnet, room

# What a card's network may be that is none of the lab's.
WORDS = ("user", "passt", "bridge", "tap")
_OWN = ("switch", "mcast")
# So many places after the one that a card's name gives are tried before all others.
_NEAR = 4096
_OF_A_DRIVER = {"uplink": ("switch", "hub"), "links": ("switch", "hub"), "interface": ("bridge",), "mcast": ("mcast",)}


class LabNetwork(NamedTuple):
    """
    :param key: of the file; name: the whole name; driver: ``switch``, ``hub``, ``mcast`` or ``bridge``.
    :param subnet: empty: none, and the gateway and dns too. gateway, dns: where an uplink answers, or what the file says.
    :param uplink: ``none`` or ``nat``; interface: the host's bridge; hosts: where machines on it run, in the order of the file.
    :param servers: the name servers that its cards are told; mcast: its address and port; links: by host, ``{ssh: …}``.
    """

    key: str
    name: str
    driver: str
    subnet: str = ""
    gateway: str = ""
    dns: str = ""
    uplink: str = "none"
    interface: str = ""
    hosts: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    mcast: str = ""
    links: dict[str, Any] = {}


def network_of(lab: str, key: str, given: dict[str, Any]) -> LabNetwork:
    """One of the file's networks."""
    path = f"networks.{key}"
    given = {name: value for name, value in given.items() if value is not None}
    name, driver, uplink = f"{lab}-{key}", given.get("driver", "switch"), given.get("uplink", "none")
    if not re.match(NAME_PATTERN, key) or key.endswith("\n") or key in (*WORDS, *_OWN):
        hint = f"Use {NAME_EXPECTS}, and none of {', '.join((*WORDS, *_OWN))}"
        raise SpecError(path, f"{key!r} cannot be a network's name", hint=hint)
    if len(name) > 63:
        raise SpecError(path, f"the whole name {name} has {len(name)} characters, and 63 are the most", hint="Use a shorter one")
    for option, drivers in _OF_A_DRIVER.items():
        if given.get(option, "none") != "none" and driver not in drivers:
            raise SpecError(f"{path}.{option}", f"is not used with driver: {driver}", hint=f"Use driver: {' or '.join(drivers)}, or leave it out")
    if driver == "bridge" and "interface" not in given:
        raise SpecError(f"{path}.interface", "is needed with driver: bridge", hint="Name the host's bridge, such as br0")
    mcast = (given.get("mcast") or _group(name)) if driver == "mcast" else ""
    if driver == "mcast" and "mcast" in given:
        from .network import check_mcast

        for error in check_mcast(f"{path}.mcast", mcast):
            raise error
    for peer, link in given.get("links", {}).items():
        if not re.fullmatch(r"\S+", link.get("ssh") or ""):
            wrong = f"{link['ssh']!r} is no destination of ssh" if link.get("ssh") else "is missing"
            raise SpecError(f"{path}.links.{peer}.ssh", wrong, hint="Say how ssh reaches that host, such as ann@hv2.example.com")
    network = LabNetwork(key, name, driver, uplink=uplink, interface=given.get("interface", ""), mcast=mcast, links=given.get("links", {}))
    return _with_subnet(network, given, path)


def _with_subnet(network: LabNetwork, given: dict[str, Any], path: str) -> LabNetwork:
    if "subnet" not in given:
        for option in ("gateway", "dns"):
            if given.get(option):
                raise SpecError(f"{path}.{option}", "is used only together with subnet", hint="Add subnet, or leave it out and let DHCP say it")
        return network
    subnet = _subnet(f"{path}.subnet", given["subnet"])
    servers = tuple(given.get("dns") or ())
    for server in servers:
        _address(f"{path}.dns", server)
    gateway = _gateway(f"{path}.gateway", given["gateway"], subnet) if "gateway" in given else ""
    dns = ""
    if network.uplink == "nat":
        _check_uplink(f"{path}.subnet", subnet)
        gateway = gateway or nth(subnet, 0)
        dns = nth(subnet, 1) if gateway != nth(subnet, 1) else nth(subnet, 2)
    return network._replace(subnet=str(subnet), gateway=gateway, dns=dns, servers=servers or ((dns,) if dns else ()))


def _subnet(path: str, text: str) -> Any:
    import ipaddress

    try:
        subnet = parse_subnet(text)
    except ValueError as exc:
        wide = isinstance(exc, ipaddress.NetmaskValueError) or "host bits" not in str(exc)
        near = "10.10.0.0/24" if wide else str(ipaddress.ip_interface(text).network)
        raise SpecError(path, f"{text!r} is no network with its prefix", hint=f"Such as {near}") from None
    if subnet.is_loopback or subnet.is_multicast:
        what = "loopback" if subnet.is_loopback else "multicast"
        raise SpecError(path, f"{subnet} is for {what} alone", hint="Use private addresses, such as 10.10.0.0/24")
    return subnet


def _gateway(path: str, text: str, subnet: Any) -> str:
    gateway = _address(path, text)
    if gateway not in subnet:
        raise SpecError(path, f"{gateway} is not in {subnet}, the subnet", hint=f"Use one of it, such as {nth(subnet, 0)}")
    if not is_host(gateway, subnet):
        raise SpecError(path, f"{gateway} is no host's address in {subnet}, the subnet", hint=f"Use another of it, such as {nth(subnet, 0)}")
    return str(gateway)


def _check_uplink(path: str, subnet: Any) -> None:
    if room(subnet) < 4:
        raise SpecError(path, f"{subnet} has no room for an uplink", hint="Use a larger one, such as 10.10.0.0/24")
    if subnet.prefixlen < 4:  # QEMU has none
        raise SpecError(path, f"{subnet} is too large for an uplink: its prefix is less than /4", hint="Use a smaller one, such as 10.10.0.0/24")


def check_overlaps(networks: dict[str, LabNetwork]) -> None:
    """
    :raises SpecError: two networks' subnets overlap: a guest on both could not tell them apart.
    """
    before: list[LabNetwork] = []
    for network in (item for item in networks.values() if item.subnet):
        for other in before:
            if parse_subnet(network.subnet).overlaps(parse_subnet(other.subnet)):
                why = f"{network.subnet} overlaps with {other.subnet}, the subnet of networks.{other.key}"
                raise SpecError(f"networks.{network.key}.subnet", why, hint="Give each network addresses of its own")
        before.append(network)


class Owner(NamedTuple):
    """The machine that a card is in.

    :param network_config: it says its whole network itself, so none of its cards is given an address.
    :param where: the place in the file where an option of a card is written.
    """

    name: str
    host: str
    network_config: bool
    where: Callable[[str, str], str]


class Cards:
    """The cards of a lab's machines, as they come.

    :param places: the network's key of each card that has or will have an address.
    """

    def __init__(self, networks: dict[str, LabNetwork]) -> None:
        self.networks = networks
        self.addresses: dict[str, dict[str, str]] = {network.name: {} for network in networks.values() if network.subnet}
        self.places: dict[str, str] = {}
        self._hosts: dict[str, dict[str, None]] = {key: {} for key in networks}
        self._taken: dict[tuple[str, str], str] = {}
        self._macs: dict[tuple[Any, ...], str] = {}
        self._ports: dict[tuple[str, str, str], str] = {}

    def connect(self, card: dict[str, Any], owner: Owner) -> dict[str, Any]:
        """The card in a machine's own words."""
        connected = self._connected(card, owner)
        self._check_mac(connected, owner)
        self._check_ports(connected, owner)
        return connected

    def _check_mac(self, card: dict[str, Any], owner: Owner) -> None:
        """Two cards that hear each other have two MACs. ``card``: in a machine's own words."""
        if card.get("mac") and card.get("network") in ("switch", "mcast", "bridge"):
            where = {"switch": card.get("switch"), "mcast": card.get("mcast"), "bridge": (owner.host, card.get("interface"))}[card["network"]]
            place = f"{owner.name}/{card['name']}"
            other = self._macs.setdefault((card["network"], where, card["mac"].lower()), place)
            if other != place:
                path = owner.where(card["name"], "mac")
                raise SpecError(path, f"{card['mac']} is the MAC of {other} too", hint="Give each its own, or leave it out")

    def _check_ports(self, card: dict[str, Any], owner: Owner) -> None:
        """A host's port leads to one machine, as ``_host/ports.py`` has it."""
        for forward in card.get("forwards") or ():
            protocol, port = forward.get("protocol") or "tcp", forward.get("host") or "auto"
            other = self._ports.setdefault((owner.host, protocol, port), owner.name) if port != "auto" else owner.name
            if other != owner.name:
                path = f"{owner.where(card['name'], 'forwards')}[{protocol}/{forward['guest']}].host"
                raise SpecError(path, f"{port} is a port of {other} too", hint="Give each its own, or host: auto, which finds a free one")

    def _connected(self, card: dict[str, Any], owner: Owner) -> dict[str, Any]:
        word, name = card.get("network", "user"), card["name"]
        if word in WORDS:
            return card
        if word not in self.networks:
            from .validate import nearest

            raise SpecError(owner.where(name, "network"), f"{word!r} is no network of this lab", hint=nearest(word, [*self.networks, *WORDS]))
        if card.get("interface"):
            raise SpecError(owner.where(name, "interface"), f"is not used with network: {word}, which is the lab's", hint="Leave it out")
        self._hosts[word][owner.host] = None
        if self.networks[word].subnet and (card.get("address") or not owner.network_config):
            self._seat(card, self.networks[word], owner)
        return {**card, **_words(self.networks[word])}

    def _seat(self, card: dict[str, Any], network: LabNetwork, owner: Owner) -> None:
        place, path = f"{owner.name}/{card['name']}", owner.where(card["name"], "address")
        address = _card_address(path, card["address"], network) if card.get("address") else ""
        other = self._taken.setdefault((network.key, address), place) if address else place
        if other != place:
            raise SpecError(path, f"{address} is the address of {other} too", hint="Give each its own, or leave it out")
        self.addresses[network.name][place], self.places[place] = address, network.key

    def done(self) -> tuple[dict[str, LabNetwork], dict[str, dict[str, str]]]:
        """The networks by their whole names, and the addresses."""
        for network in (item for item in self.networks.values() if item.subnet):
            addresses = self.addresses[network.name]
            elsewhere = (_reserved(network) | _servers(network)) - set(addresses.values())
            free = room(parse_subnet(network.subnet)) - len(elsewhere)
            if len(addresses) > free:
                why = f"{network.subnet} has room for {free} cards, and there are {len(addresses)}"
                raise SpecError(f"networks.{network.key}.subnet", why, hint="Use a larger one, such as 10.10.0.0/16")
        return {item.name: item._replace(hosts=tuple(self._hosts[item.key])) for item in self.networks.values()}, self.addresses


def _words(network: LabNetwork) -> dict[str, str]:
    """A card's options that say where it is connected."""
    if network.driver == "mcast":
        return {"network": "mcast", "mcast": network.mcast}
    if network.driver == "bridge":
        return {"network": "bridge", "interface": network.interface}
    return {"network": "switch", "switch": network.name}


def _group(name: str) -> str:
    """A multicast address and port of its own, out of those for use within a site (RFC 2365)."""
    number = int(hashlib.sha256(name.encode()).hexdigest()[:12], 16)
    return f"239.255.{number >> 8 & 255}.{number & 255}:{20000 + (number >> 16) % 10000}"


def _address(path: str, text: str) -> Any:
    try:
        return parse_address(text)
    except ValueError:
        hint = f"Leave {text[text.index('%') :]} out, which is an interface of one host" if "%" in text else "Such as 10.10.0.1"
        raise SpecError(path, f"{text!r} is no IP address", hint=hint) from None


def _card_address(path: str, text: str, network: LabNetwork) -> str:
    """An address that the file gives a card, without its prefix."""
    subnet, (plain, _slash, prefix) = parse_subnet(network.subnet), text.partition("/")
    address, free = _address(path, plain), f"Use another of it, such as {nth(subnet, 9)}"
    of_it = f"{subnet}, the subnet of networks.{network.key}"
    if address not in subnet:
        raise SpecError(path, f"{address} is not in {of_it}", hint=free)
    if prefix and prefix != str(subnet.prefixlen):
        raise SpecError(path, f"/{prefix} is not the prefix of {of_it}", hint="Leave the prefix out")
    if not is_host(address, subnet):
        raise SpecError(path, f"{address} is no host's address in {of_it}", hint=free)
    if network.uplink == "nat" and str(address) in (network.gateway, network.dns):
        what = "gateway" if str(address) == network.gateway else "name server"
        raise SpecError(path, f"{address} is the {what} of networks.{network.key}", hint=free)
    return str(address)


def _reserved(network: LabNetwork) -> set[str]:
    return {network.gateway, network.dns} - {""}


def _servers(network: LabNetwork) -> set[str]:
    """The name servers of the file that are in the subnet."""
    addresses = map(parse_address, network.servers)
    return {str(address) for address in addresses if is_host(address, parse_subnet(network.subnet))}


def allotted(network: LabNetwork, cards: dict[str, str], known: dict[str, str]) -> dict[str, str]:
    """Every card's address: those that the file says, those that were allotted before, and for each other the first free
    one from a place that its name gives."""
    subnet = parse_subnet(network.subnet)
    addresses = dict(cards)
    taken = _reserved(network) | set(cards.values()) - {""}
    for card in sorted(card for card, address in cards.items() if not address and card in known):
        if known[card] not in taken and _is_host(known[card], subnet):
            addresses[card] = known[card]
            taken.add(known[card])
    taken |= _servers(network)
    late = _given_late(network)
    for card in sorted(card for card, address in addresses.items() if not address):
        addresses[card] = next(address for address in _candidates(card, subnet, late) if address not in taken)
        taken.add(addresses[card])
    return addresses


def _is_host(text: str, subnet: Any) -> bool:
    """Whether what was stored can be a host's address; an older release took some that cannot."""
    try:
        return is_host(parse_address(text), subnet)
    except ValueError:
        return False


def _given_late(network: LabNetwork) -> range:
    """The places that an uplink gives to who asks it, or would: they come after all others."""
    subnet = parse_subnet(network.subnet)
    if network.uplink == "nat" and subnet.version == 4:
        start = int(parse_address(dhcp_start(network.subnet, *_reserved(network)))) - first(subnet)
        return range(start, min(start + GUESTS, room(subnet)))
    return range(room(subnet) - GUESTS if room(subnet) > 2 * GUESTS else room(subnet), room(subnet))


def _candidates(card: str, subnet: Any, late: range) -> Iterator[str]:
    """The first two are where an uplink would be: they come last."""
    hosts = room(subnet)
    low = 2 if hosts > 4 else 0
    start = int(hashlib.sha256(card.encode()).hexdigest()[:12], 16)
    near = (low + (start + step) % (hosts - low) for step in range(min(hosts - low, _NEAR)))
    for places in (near, range(low, hosts)):
        yield from (nth(subnet, place) for place in places if place not in late)
    # An uplink gives the first of them first.
    yield from (nth(subnet, place) for place in (*reversed(late), *range(low)))
