# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest's memory: what it starts with, how far it may grow, how much it is asked to give back.

Memory that comes later is one ``virtio-mem`` device: it grows and shrinks by a property, where memory modules only grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .live import Tell, Wait
from .option import LIVE, Option
from .part import Part
from .site import Site
from .size import format_size

_MIB = 1 << 20
# A virtio-mem device gives and takes whole blocks, by default of a transparent huge page.
_BLOCK = 2 * _MIB
_DEVICE = "more-memory"


def _live(change: Any, site: Site) -> list[Any]:
    started = site.started or {}
    boot, most = started.get("memory", change.after), started.get("max_memory")
    if _DEVICE not in site.facts.devices or not most:
        return [Wait("the machine was started without max_memory")]
    if not boot <= change.after <= most:
        return [Wait(f"the running machine can have {format_size(boot)} to {format_size(most)}")]
    arguments = {"path": f"/machine/peripheral/{_DEVICE}", "property": "requested-size", "value": change.after - boot}
    # What the balloon takes follows from what there is.
    balloon = [_inflate(site.spec["balloon"], site)] if site.spec.get("balloon") else []
    return [Tell([{"execute": "qom-set", "arguments": arguments}, *balloon])]


def _live_balloon(change: Any, site: Site) -> list[Any]:
    if site.facts and "balloon" not in site.facts.devices:
        return [Wait("the running machine has no balloon")]
    return [Tell([_inflate(change.after, site)])]


def _inflate(target: int | None, site: Site) -> dict[str, Any]:
    """QEMU's own target leaves out what a virtio-mem device has given (up to QEMU 10.2)."""
    started, memory = site.started or site.spec, site.spec["memory"]
    boot, most = started["memory"], started["max_memory"] or 0
    more = memory - boot if boot <= memory <= most else 0
    return {"execute": "balloon", "arguments": {"value": max(target - more, _MIB) if target else boot}}


OPTIONS = (
    Option("memory", "size", "512MiB", minimum=_MIB, change=LIVE, live=_live, note="between what it was started with and the `max_memory` of that start"),
    Option("max_memory", "size", minimum=_MIB),
    Option("balloon", "size", minimum=_MIB, change=LIVE, live=_live_balloon, told=True, note="the guest follows as it can"),
)


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    most = spec["max_memory"]
    unit, word = (_BLOCK, "2 MiB, since it can change while the machine runs") if most else (_MIB, "MiB")
    for name in ("memory", "max_memory"):
        if (spec[name] or 0) % unit:
            yield SpecError(name, f"{spec[name]} bytes are no whole number of {word}", hint="Use an even number of MiB, or GiB")
    if most and most <= spec["memory"]:
        yield SpecError("max_memory", f"{format_size(most)} is not more than memory ({format_size(spec['memory'])})", hint="Raise it, or leave it out")
    if spec["balloon"] and spec["balloon"] > (most or spec["memory"]):
        yield SpecError("balloon", f"{format_size(spec['balloon'])} is more than the guest has", hint="It is what the guest keeps: memory or less")


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    boot = (site.started or spec)["memory"]
    size = {"size": f"{boot // _MIB}M"}
    # Helpers such as virtiofsd read and write the guest's memory: it must be one that can be shared.
    backend = {"qom-type": "memory-backend-memfd", "share": True} if spec["shares"] else {"qom-type": "memory-backend-ram"}
    if spec["shares"]:
        yield Part("object", {**backend, "id": "memory", "size": boot})
    if not spec["max_memory"]:
        yield Part("m", size)
    else:
        more = spec["max_memory"] - boot
        yield Part("m", {**size, "maxmem": f"{spec['max_memory'] // _MIB}M"})
        yield Part("object", {**backend, "id": "more-memory-backend", "size": more})
        device = {"driver": "virtio-mem-pci", "id": _DEVICE, "memdev": "more-memory-backend", "requested-size": spec["memory"] - boot}
        yield Part("device", device)
    yield Part("device", {"driver": "virtio-balloon-pci", "id": "balloon", "deflate-on-oom": True, "free-page-reporting": True})


def observe(spec: dict[str, Any], facts: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What the guest was asked to use of the memory that can come later."""
    started = facts.started.get("memory")
    if facts.more_memory is not None and started is not None and started + facts.more_memory != spec["memory"]:
        yield ("memory",), started + facts.more_memory
