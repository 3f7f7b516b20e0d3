# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the host runs the machine: restarts and limits, in systemd's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .live import Unit
from .option import LIVE, Option


def _live(change: Any, site: Any) -> list[Any]:
    return [Unit()]


_WEIGHT = "a number from 1 to 10000 (100 is everybody's)"

OPTIONS = (
    Option("restart_policy", "str", "on-failure", choices=("no", "on-failure", "always"), change=LIVE, live=_live),
    Option(
        "resources",
        "map",
        options=(
            Option("memory_max", "size", minimum=1 << 20, change=LIVE, live=_live),
            Option("cpu_quota", pattern="^[1-9][0-9]*%$", expects="a share of one CPU in percent, such as 150%", change=LIVE, live=_live),
            Option("cpu_weight", "int", minimum=1, maximum=10000, expects=_WEIGHT, change=LIVE, live=_live),
            Option("io_weight", "int", minimum=1, maximum=10000, expects=_WEIGHT, change=LIVE, live=_live),
        ),
    ),
    Option(
        "on_failure",
        "map",
        options=(
            Option("unit", pattern=r"^[A-Za-z0-9:_.\\@-]+\.(service|target)$", expects="a unit of this user's systemd, such as alert@.service", change=LIVE),
            Option("command", "list", expects="a program and its arguments, such as [/usr/local/bin/alert, urgent]", change=LIVE),
        ),
    ),
)


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    failure = spec["on_failure"]
    if failure["command"] and not failure["command"][0].startswith("/"):
        yield SpecError("on_failure.command", f"{failure['command'][0]!r} is no absolute path", hint="Name the program by its path, such as /usr/bin/logger")
    limit = spec["resources"]["memory_max"]
    if limit and limit < spec["memory"]:
        why = "is less than memory: the guest would be killed for using what it was given"
        yield SpecError("resources.memory_max", why, hint="Leave room for QEMU itself: memory and 256MiB more")


def unit_properties(spec: dict[str, Any]) -> dict[str, str]:
    """The unit's properties for restarts and limits."""
    resources = spec["resources"]
    named = {
        "MemoryMax": resources["memory_max"],
        "CPUQuota": resources["cpu_quota"],
        "CPUWeight": resources["cpu_weight"],
        "IOWeight": resources["io_weight"],
    }
    properties = {name: str(value) for name, value in named.items() if value is not None}
    properties["Restart"] = spec["restart_policy"]
    return properties


def observe(spec: dict[str, Any], facts: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Properties of the unit that somebody else has set."""
    if facts.unit is None:
        return
    declared = {**spec["resources"], "restart_policy": spec["restart_policy"]}
    for name, value in facts.unit.items():
        if value != declared[name]:
            yield (("restart_policy",) if name == "restart_policy" else ("resources", name)), value
