# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network that machines are on: what is stored of it, what is asked of it, and the steps between."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, NamedTuple

from .._errors import RefusedError, StateError
from .program import SWITCH, UPLINK, Program, programs, uplink_parts
from .steps import Step

SCHEMA = 1


@dataclass
class NetworkRecord:
    """
    :param declared: ``driver``, ``subnet``, ``gateway``, ``dns``, ``uplink``, ``links`` (by peer).
    :param medium: what its switch is, chosen once: ``vde`` (a vde_switch) or ``hub`` (a QEMU).
    :param addresses: of its cards, by ``<machine>/<nic>``; hosts: addresses by host name.
    """

    name: str
    supervisor: str
    directory: str
    run_dir: str
    lab: str = ""
    declared: dict[str, Any] = field(default_factory=dict)
    medium: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def unit(self) -> str:
        return f"maqet-net-{self.name}.service"

    def unit_of(self, program: str) -> str:
        # A network's name has no colon, so no other network's unit is called like this.
        return self.unit if program == SWITCH else f"maqet-net-{self.name}:{program}.service"

    @property
    def programs(self) -> dict[str, Program]:
        """What runs for it, by name, the switch first."""
        return programs(self.name, self.run_dir, self.medium, self.declared)

    @property
    def site(self) -> dict[str, str]:
        """What a card needs to know of it."""
        return {"medium": self.medium, "path": self.run_dir}

    def copy(self) -> NetworkRecord:
        return replace(self, declared=dict(self.declared), addresses=dict(self.addresses), hosts=dict(self.hosts))

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, data: dict[str, Any]) -> NetworkRecord:
        if data.get("schema", 0) > SCHEMA:
            raise StateError(
                f"the record of network {data.get('name')!r} was written by a newer maqet.qemu (schema {data['schema']}, here {SCHEMA})",
                hint="Update the collection on this host",
            )
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})


class NetworkWish(NamedTuple):
    """What a task asks of one network on this host.

    :param addresses, hosts: see :class:`NetworkRecord`.
    :param state: ``started``; ``present``: only stored where it is not yet, and otherwise left as it is; or ``absent``.
    :param leaving: machines that the same task removes.
    :param links: switches of other hosts that this one is joined to, by peer: ``{ssh: destination, options: {ssh's own}}``;
        is_center: others are joined to this one.
    """

    name: str
    lab: str = ""
    driver: str = "switch"
    subnet: str = ""
    gateway: str = ""
    dns: Any = ""
    uplink: str = "none"
    addresses: dict[str, str] = {}
    hosts: dict[str, str] = {}
    links: dict[str, dict[str, Any]] = {}
    is_center: bool = False
    state: str = "started"
    supervisor: str = "auto"
    timeout: float = 60
    leaving: tuple[str, ...] = ()

    @property
    def declaration(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("driver", "subnet", "gateway", "dns", "uplink", "links")}


class NetworkSeen(NamedTuple):
    """
    :param runs: programs that run as they should; stale: that run otherwise, among them what has outlived its switch.
    :param pids: of those that run; users: machines that have a card on it.
    """

    runs: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    outlived: frozenset[str] = frozenset()
    pids: dict[str, int] = {}
    users: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        return "running" if SWITCH in self.runs else "stopped"


@dataclass(repr=False, eq=False)
class DefineNetwork(Step):
    """Store what is declared and allotted."""

    new: bool
    keys: tuple[str, ...] = ()
    action = "define_network"

    def summary(self) -> str:
        return "define the network" if self.new else f"store the network's {', '.join(self.keys)}"


@dataclass(repr=False, eq=False)
class Begin(Step):
    """Start a program; ``again``: in the place of one that is not as it should be."""

    program: Program
    again: bool = False

    @property
    def action(self) -> str:  # type: ignore[override]
        return f"{'replace' if self.again else 'start'}_{self.program.kind}"

    def summary(self) -> str:
        return f"{'replace' if self.again else 'start'} the {self.program.title}"

    def details(self) -> dict[str, Any]:
        return {"argv": self.program.argv}


@dataclass(repr=False, eq=False)
class End(Step):
    """Stop a program that is declared no more."""

    program: str
    kind: str

    @property
    def action(self) -> str:  # type: ignore[override]
        return f"stop_{self.kind}"

    def summary(self) -> str:
        return f"stop the network's {self.program}"


@dataclass(repr=False, eq=False)
class Uplink(Step):
    """Give a hub its way outside, or take it away; ``parts``: of QEMU."""

    parts: tuple[Any, ...]

    @property
    def action(self) -> str:  # type: ignore[override]
        return "start_uplink" if self.parts else "stop_uplink"

    def summary(self) -> str:
        return "connect the hub to the outside" if self.parts else "disconnect the hub from the outside"

    def details(self) -> dict[str, Any]:
        return {"netdevs": [part.value for part in self.parts]}


@dataclass(repr=False, eq=False)
class RemoveNetwork(Step):
    """Stop all that runs for it, and remove what is its."""

    directory: str
    action = "remove_network"

    def summary(self) -> str:
        return "remove the network"


def check_wish(wish: NetworkWish, old: NetworkRecord | None, users: tuple[str, ...]) -> None:
    """
    :raises RefusedError: machines on it would lose what they are connected to.
    """
    staying = [name for name in users if name not in wish.leaving]
    if not old or not staying:
        return
    who = _who(staying)
    if wish.state == "absent":
        raise RefusedError(f"machines are on the network: {who}", hint="Remove them first, or take their cards off it", machines=staying)
    check_owner(wish, old, users)
    if old.declared["driver"] != wish.driver:
        hint = "Remove the machines first, or declare a network under another name"
        raise RefusedError(f"driver: {old.declared['driver']} → {wish.driver} while machines are on it: {who}", hint=hint, machines=staying)


def check_owner(wish: NetworkWish, old: NetworkRecord | None, users: tuple[str, ...]) -> None:
    """
    :raises RefusedError: the network is another lab's, and in use.
    """
    staying = [name for name in users if name not in wish.leaving]
    if old and staying and old.lab != wish.lab:
        owner = f"lab {old.lab}" if old.lab else "no lab"
        raise RefusedError(f"the network is of {owner}, and machines are on it: {_who(staying)}", hint="Give it another name", machines=staying)


def _who(names: list[str]) -> str:
    return f"{', '.join(names[:5])}{' and more' if len(names) > 5 else ''}"


def is_settled(wish: NetworkWish, old: NetworkRecord | None, new: NetworkRecord | None, seen: NetworkSeen) -> bool:
    if wish.state == "absent":
        return old is None
    if wish.state == "present":
        return old is not None and old.lab == wish.lab
    return old is not None and old == new and not seen.stale and seen.runs == {*old.programs, *_built_in(old)}


def make_network_plan(wish: NetworkWish, old: NetworkRecord | None, new: NetworkRecord | None, seen: NetworkSeen) -> list[Step]:
    """
    :param new: the record as the task wants it.
    :raises MaqetError: the wish cannot be fulfilled; nothing has been done then.
    """
    if wish.state == "present":
        check_owner(wish, old, seen.users)
        return [] if old else [DefineNetwork(new=True)]
    check_wish(wish, old, seen.users)
    if wish.state == "absent" or new is None:
        return [RemoveNetwork(old.directory)] if old else []
    steps: list[Step] = []
    if old != new:
        steps.append(DefineNetwork(old is None, tuple(sorted(_differing(old, new))) if old else ()))
    wanted, built_in = new.programs, _built_in(new)
    there = seen.runs | seen.stale
    steps += [End(name, name.partition("-")[0]) for name in sorted(there) if name not in wanted and not (name == UPLINK and new.medium == "hub")]
    anew = SWITCH not in seen.runs
    for name, program in wanted.items():
        # What is connected to a switch ends with it, or is connected to nothing.
        if anew or name not in seen.runs:
            steps.append(Begin(program, again=name in there))
    if new.medium == "hub" and not anew and (UPLINK not in seen.runs if built_in else UPLINK in there):
        steps.append(Uplink(tuple(uplink_parts(new.declared)) if built_in else ()))
    return steps


def _built_in(record: NetworkRecord) -> list[str]:
    """A hub is a QEMU, which has its uplink in itself."""
    return [UPLINK] if record.medium == "hub" and record.declared["uplink"] == "nat" else []


def _differing(old: NetworkRecord, new: NetworkRecord) -> set[str]:
    before, after = {**old.dump(), **old.declared}, {**new.dump(), **new.declared}
    return {key for key in after if before.get(key) != after[key] and key != "declared"}
