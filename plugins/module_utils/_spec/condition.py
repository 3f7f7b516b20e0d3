# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conditions that a running machine meets sooner or later: what a user may write, and which of it can come true at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .._errors import SpecError
from .forward import forwards
from .option import Option, argument_spec, json_schema
from .said import said
from .taken import is_one, taken
from .values import check_values

# One item of `ready`: one of the kinds, and a timeout beside it.
OPTIONS = (
    Option("status", choices=("running", "paused")),
    Option("agent", "bool", expects="true"),
    Option(
        "port",
        "map",
        short="guest",
        options=(
            Option("guest", "int", required=True, minimum=1, maximum=65535, expects="a TCP port of the guest, from 1 to 65535"),
            Option("address", pattern="^[0-9A-Fa-f.:]+$", expects="an address of the guest that its hypervisor reaches, such as 192.168.7.10"),
            Option("from", choices=("host", "guest")),
        ),
    ),
    Option("serial", pattern="^.", expects="a regular expression of Python, such as 'login: $'"),
    Option("screen", pattern="^.", expects="a regular expression of Python, such as 'Welcome'"),
    Option(
        "event",
        "map",
        short="name",
        options=(
            Option("name", required=True, pattern="^[A-Z][A-Z0-9_]*$", expects="a QMP event's name, such as SHUTDOWN"),
            Option("match", "dict"),
            Option("count", "int", minimum=1, expects="how many of them, such as 2"),
        ),
    ),
    Option("cloud_init", choices=("done",)),
    Option("command", "list", expects="a program and its arguments, such as [systemctl, is-active, nginx]"),
    Option("address", "bool", expects="true"),
    Option("job", pattern="^.", expects="a job's id, such as backup0"),
    Option("timeout", "float", minimum=0, expects="seconds, such as 60"),
)
# What else a machine can be waited to become; it is not ready then.
STATUSES = ("running", "paused", "stopped", "suspended", "shutdown", "io-error", "internal-error", "guest-panicked", "watchdog")
ANY_STATUS = (replace(OPTIONS[0], choices=STATUSES), *OPTIONS[1:])
KINDS = tuple(option.name for option in OPTIONS if option.name != "timeout")
_KNOWN = {option.name: option for option in OPTIONS}
_SHORT = {option.name: option.short for option in OPTIONS if option.short}
_BY_AGENT = ("agent", "command", "address")
# Networks on which the host reaches the guest itself.
_OF_THE_HOST = ("bridge", "tap")
_OURSELVES = {"0.0.0.0": "127.0.0.1"}  # noqa: S104 - a forward that listens everywhere listens here too


class Condition(NamedTuple):
    """:param value: with what a user may leave out written out; timeout: seconds of its own, or None."""

    kind: str
    value: Any
    timeout: float | None = None

    def __str__(self) -> str:
        said = self.value
        if isinstance(said, dict):
            said = said[_SHORT[self.kind]]
        return self.kind if said is True else f"{self.kind} {' '.join(said) if isinstance(said, list) else said}"


class Way(NamedTuple):
    """A way to a port of the guest. :param address: empty where only the agent knows it; network: of the card that it leads through."""

    address: str
    port: int
    network: str


def schema() -> dict[str, Any]:
    """A JSON Schema of one item."""
    return {**json_schema(OPTIONS), "oneOf": [{"required": [kind]} for kind in KINDS]}


def conditions(items: Sequence[dict[str, Any]]) -> tuple[Condition, ...]:
    """Items that were checked."""
    return tuple(_condition(item) for item in items)


def _condition(item: dict[str, Any]) -> Condition:
    kind = next(name for name in KINDS if item.get(name) is not None)
    value = item[kind]
    if kind in _SHORT and not isinstance(value, dict):
        value = {_SHORT[kind]: value}
    return Condition(kind, value, item.get("timeout"))


def typed(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """As they were given, where a template makes texts of numbers and Ansible writes down what was left out. What cannot be taken
    stays as it is: :func:`check_conditions` says what is wrong with it."""
    return [{name: _typed(_KNOWN[name], value) if name in _KNOWN else value for name, value in item.items() if value is not None} for item in items]


def _typed(option: Option, value: Any) -> Any:
    if option.type == "list":  # a text is taken for none: it would be cut at its commas
        return [str(item) if is_one(item, "float") else item for item in value] if isinstance(value, list) else value
    if option.type == "str" or is_one(value, option.type):
        return value
    try:
        if not option.short:
            return taken({option.name: value}, argument_spec((option,)))[option.name]
        whole = taken(value if isinstance(value, dict) else {option.short: value}, argument_spec(option.options))
    except SpecError:
        return value
    return {name: item for name, item in whole.items() if item is not None} if isinstance(value, dict) else whole[option.short]


def check_conditions(items: Any, path: str, options: tuple[Option, ...] = OPTIONS) -> None:
    """
    :param options: of one item.
    :raises SpecError: at ``<path>[<number>]``: an unknown kind, none or two of them, a wrong value.
    """
    if not isinstance(items, (list, tuple)):
        raise SpecError(path, f"{said(items)} is not a list", hint="Use a list of conditions, such as [{agent: true}]")
    for number, item in enumerate(items):
        here = f"{path}[{number}]"
        if not isinstance(item, dict):
            raise SpecError(here, f"{said(item)} is not a dictionary", hint="Use one of the conditions, such as {agent: true}")
        check_values(options, item, here)
        for where, why, hint in _mistakes(item):
            raise SpecError(f"{here}.{where}" if where else here, why, hint=hint)


def _mistakes(item: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    given = [name for name in KINDS if item.get(name) is not None]
    if len(given) != 1:
        why = f"has {' and '.join(given)} in one" if given else "says nothing to wait for"
        yield "", why, "Give each condition an item of its own" if given else f"Use one of {', '.join(KINDS)}"
    for name in ("agent", "address"):
        if item.get(name) is False:
            yield name, "false is nothing to wait for", "Use true, or leave it out"
    if item.get("command") == []:
        yield "command", "names no program", "Such as [systemctl, is-active, nginx]"
    if item.get("timeout") == 0:
        yield "timeout", "0 leaves no time", "Use seconds, such as 60"
    port = item.get("port")
    if isinstance(port, dict) and port.get("from") == "guest" and port.get("address"):
        yield "port.address", "is the way from the host, and from says guest", "Leave one of them out"
    for name in (name for name in ("serial", "screen") if item.get(name)):
        try:
            re.compile(item[name])
        except (re.error, OverflowError, RecursionError) as exc:
            yield name, f"{item[name]!r} is no regular expression: {exc}", "In YAML write it in single quotes"


def check_possible(wanted: Sequence[Condition], spec: dict[str, Any], path: str) -> None:
    """
    :param spec: the machine's normal form.
    :raises SpecError: a condition that this machine can never meet.
    """
    for number, condition in enumerate(wanted):
        if condition.kind == "screen" and spec["video"] == "none":
            raise SpecError(f"{path}[{number}].screen", "looks at a screen, and the machine has none (video: none)", hint="Set video, such as std")
        by_agent = condition.kind in _BY_AGENT or _from_guest(condition)
        if by_agent and not spec["guest_agent"]:
            why = "asks the guest's agent, and guest_agent is false: the machine has no channel to one"
            raise SpecError(f"{path}[{number}].{condition.kind}", why, hint="Set guest_agent: true, and have qemu-guest-agent in the guest")
        if condition.kind == "port" and not by_agent and not ways(condition.value, spec, {}):
            port = condition.value["guest"]
            why = f"nothing leads to port {port} of the guest from here"
            hint = f"Add forwards: [{{guest: {port}}}] to a card of network user, or a card of network bridge; from: guest asks the guest's agent"
            raise SpecError(f"{path}[{number}].port", why, hint=hint)


def _from_guest(condition: Condition) -> bool:
    return condition.kind == "port" and condition.value.get("from") == "guest"


def ways(port: dict[str, Any], spec: dict[str, Any], identity: dict[str, Any]) -> list[Way]:
    """What leads to the port, best first: the address that was given, forwards, addresses on networks of the host."""
    if port.get("address"):
        return [Way(port["address"], port["guest"], "")]
    found = [
        Way(_OURSELVES.get(item.listen, item.listen), item.host or 0, spec["nics"][item.nic]["network"])
        for item in forwards(spec, identity)
        if (item.protocol, item.guest) == ("tcp", port["guest"])
    ]
    near = [nic for nic in spec["nics"].values() if nic["network"] in _OF_THE_HOST and (nic["address"] or spec["guest_agent"])]
    return found + [Way((nic["address"] or "").partition("/")[0], port["guest"], nic["network"]) for nic in near]
