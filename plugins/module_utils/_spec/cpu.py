# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual CPUs: how many, how many there may be, and what they look like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .live import Plug, Unplug, Wait
from .option import LIVE, Option
from .part import Part
from .site import Site

_MOST = 1024
_COUNT = f"a number from 1 to {_MOST}"


def _live(change: Any, site: Site) -> list[Any]:
    """CPUs into free places, or the last ones away; QEMU says where the places are."""
    places = site.facts.cpus
    if not places:
        return [Wait("this machine's CPUs are fixed while it runs: it was started without a larger max_cpus, or its board cannot")]
    if change.after > sum(place["vcpus-count"] for place in places):
        return [Wait("the running machine has no place for so many CPUs")]
    in_order = list(reversed(places))  # QEMU lists the last place first
    taken = [place for place in in_order if "qom-path" in place]
    more = change.after - len(taken)
    tcg = site.accel == "tcg"
    if more < 0:
        # Seen with 7.2: a segmentation fault at the next device or CPU that is added. 10.0 goes on.
        if tcg and int(site.facts.version.split(".")[0]) < 10:
            return [Wait("QEMU before 10.0 crashes under tcg after a CPU was removed")]
        return [Unplug([Part("device", {"id": _name(place)}) for place in taken[more:]])]
    free = [place for place in in_order if "qom-path" not in place and not (tcg and _is_spent(place, in_order, site))]
    return [Plug([_cpu(place) for place in free[:more]])] if len(free) >= more else [Wait("QEMU's tcg cannot give a CPU a second time")]


def _is_spent(place: dict[str, Any], in_order: list[dict[str, Any]], site: Site) -> bool:
    """Whether the place had a CPU since the start. tcg has room for one thread a place, and may not forget one that ended."""
    return in_order.index(place) < (site.started or {}).get("cpus", 0) or _id(place) in site.plugged


def _id(place: dict[str, Any]) -> str:
    return f"cpu-{'-'.join(str(number) for number in place['props'].values())}"


def _cpu(place: dict[str, Any]) -> Part:
    return Part("device", {"driver": place["type"], "id": _id(place), **place["props"]})


def _name(place: dict[str, Any]) -> str:
    """A CPU that was there at the start has no id; its path does as well."""
    path: str = place["qom-path"]
    return path.rpartition("/")[2] if path.startswith("/machine/peripheral/") else path


OPTIONS = (
    Option(
        "cpus",
        "int",
        1,
        minimum=1,
        maximum=_MOST,
        expects=f"{_COUNT}: of virtual CPUs",
        change=LIVE,
        live=_live,
        note="up to the `max_cpus` it was started with, where the board can; down as the guest lets go of them",
    ),
    Option("max_cpus", "int", minimum=1, maximum=_MOST, expects=_COUNT),
    Option(
        "cpu_topology",
        "map",
        options=tuple(Option(level, "int", minimum=1, maximum=_MOST, expects=_COUNT) for level in ("sockets", "cores", "threads")),
    ),
    Option("cpu_model", pattern="^[A-Za-z0-9_.,=+-]+$", expects="a CPU model of QEMU, such as host, max or EPYC-v4"),
)


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    most = spec["max_cpus"] or spec["cpus"]
    if spec["cpus"] > most:
        yield SpecError("cpus", f"{spec['cpus']} are more than max_cpus ({most})", hint="Raise max_cpus; leave it out for no CPUs added later")
    levels = spec["cpu_topology"]
    if any(levels.values()):
        whole = (levels["sockets"] or 1) * (levels["cores"] or 1) * (levels["threads"] or 1)
        if whole != most:
            words = " x ".join(f"{levels[name] or 1} {name}" for name in levels)
            hint = "Make both the same; max_cpus counts, where it is given"
            yield SpecError("cpu_topology", f"{words} are {whole} CPUs, and the machine has {most}", hint=hint)


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    levels = spec["cpu_topology"]
    count: dict[str, Any] = {"cpus": spec["cpus"]}
    if spec["max_cpus"]:
        count["maxcpus"] = spec["max_cpus"]
    if any(levels.values()):
        count.update({name: number or 1 for name, number in levels.items()})
    yield Part("smp", count)
    model = spec["cpu_model"] or ("host" if site.accel == "kvm" else "max")
    yield Part("cpu", model)


def observe(spec: dict[str, Any], facts: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The number of CPUs that are plugged."""
    if facts.cpus:
        count = sum(place["vcpus-count"] for place in facts.cpus if "qom-path" in place)
        if count != spec["cpus"]:
            yield ("cpus",), count
