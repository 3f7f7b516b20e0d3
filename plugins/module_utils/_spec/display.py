# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The screen: a video device, and who may look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .option import Option
from .part import Part
from .site import Site

_DRIVERS = {"std": "VGA", "virtio": "virtio-gpu-pci", "virtio-vga": "virtio-vga", "qxl": "qxl-vga", "bochs": "bochs-display"}

OPTIONS = (
    Option("display", "map", options=(Option("type", "str", "none", choices=("none", "vnc")),)),
    Option("video", "str", "std", choices=("none", *_DRIVERS)),
)


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    if spec["display"]["type"] != "none" and spec["video"] == "none":
        yield SpecError("display.type", f"{spec['display']['type']!r} needs a video device", hint="Set video, such as std")


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    if spec["video"] != "none":
        yield Part("device", {"driver": _DRIVERS[spec["video"]], "id": "video"})
    yield Part("display", "none")
    if spec["display"]["type"] == "vnc":
        yield Part("vnc", {"vnc": f"unix:{site.sockets['vnc']}"})
