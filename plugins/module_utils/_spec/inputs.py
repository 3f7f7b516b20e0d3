# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A USB tablet, whose pointer follows the one of who looks at the screen, and a USB keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .drive import controller
from .live import Plug, Unplug, Wait
from .option import LIVE, Option
from .part import Part
from .site import Site
from .slots import why_full

_DRIVERS = {"tablet": "usb-tablet", "keyboard": "usb-kbd"}


def _live(change: Any, site: Site) -> list[Any]:
    parts = _plug(change.option.name, site)
    if not change.after:
        return [Unplug(parts[1:])]
    lacking = [part for part in parts if part.value["id"] not in site.facts.devices]
    reason = why_full(lacking, site)
    return [Wait(reason)] if reason else [Plug(lacking)]


OPTIONS = (
    Option(
        "input",
        "map",
        options=tuple(Option(name, "bool", change=LIVE, live=_live) for name in _DRIVERS),
    ),
)


def fill(spec: dict[str, Any]) -> None:
    shown = spec["display"]["type"] != "none"
    # x86 boards have a PS/2 keyboard.
    usual = {"tablet": shown, "keyboard": shown and spec["arch"] not in ("x86_64", "i386")}
    for name, value in spec["input"].items():
        spec["input"][name] = usual[name] if value is None else value


def slots(spec: dict[str, Any]) -> Iterator[str]:
    """The devices that take a PCIe port."""
    if any(spec["input"].values()):
        yield "usb"


def _plug(name: str, site: Site) -> list[Part]:
    return [controller("usb", site), Part("device", {"driver": _DRIVERS[name], "id": name, "bus": "usb.0"})]


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    for name, wanted in spec["input"].items():
        if wanted:
            yield from _plug(name, site)


def observe(spec: dict[str, Any], facts: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Where QEMU has it otherwise."""
    for name, wanted in spec["input"].items():
        if wanted != (name in facts.devices):
            yield ("input", name), not wanted
