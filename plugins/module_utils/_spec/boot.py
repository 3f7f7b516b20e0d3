# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the guest starts: direct kernel boot, or the firmware's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .option import Option
from .part import Part
from .site import Site

OPTIONS = (
    Option(
        "boot",
        "map",
        options=(
            Option("kernel", "path"),
            Option("initrd", "path"),
            Option("cmdline"),
            Option("order", pattern="^[a-dnp]+$", expects="QEMU's drive letters, such as c (disk), d (CD-ROM), n (network)"),
            Option("menu", "bool", False),
        ),
    ),
)


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    boot = spec["boot"]
    for key in ("initrd", "cmdline"):
        if boot[key] and not boot["kernel"]:
            yield SpecError(f"boot.{key}", "is used only together with boot.kernel", hint="Add boot.kernel or leave it out")


def files(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Files of the host that must be there before a start, by option."""
    for key in ("kernel", "initrd"):
        if spec["boot"][key]:
            yield f"boot.{key}", spec["boot"][key]


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    boot = spec["boot"]
    for key, kind in (("kernel", "kernel"), ("initrd", "initrd"), ("cmdline", "append")):
        if boot[key]:
            yield Part(kind, boot[key])
    chosen = {key: boot[key] for key in ("order", "menu") if boot[key]}
    if chosen:
        yield Part("boot", chosen)
