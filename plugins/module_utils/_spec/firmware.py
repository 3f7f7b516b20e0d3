# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firmware: QEMU's own, or UEFI with variables (NVRAM) of the machine's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .option import Option
from .part import Part
from .site import Site

OPTIONS = (
    Option("firmware", choices=("bios", "uefi")),
    Option("secure_boot", "bool", False),
)


def fill(spec: dict[str, Any]) -> None:
    # An ARM board has no firmware of its own: without a kernel nothing would start.
    needed = spec["secure_boot"] or (spec["arch"] == "aarch64" and not spec["boot"]["kernel"])
    spec["firmware"] = spec["firmware"] or ("uefi" if needed else "bios")


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    if spec["secure_boot"] and spec["firmware"] != "uefi":
        yield SpecError("secure_boot", "is a feature of UEFI, and firmware is bios", hint="Set firmware: uefi, or leave it out")


def nvram_name(spec: dict[str, Any]) -> str:
    """The file of the machine's own variables; empty without UEFI. Those with Secure Boot are others: switching loses neither."""
    return "" if spec.get("firmware") != "uefi" else "nvram-secure.fd" if spec["secure_boot"] else "nvram.fd"


def image(spec: dict[str, Any], site: Site) -> dict[str, Any]:
    """The UEFI image that the variables belong to; empty without UEFI."""
    found: dict[str, Any] = site.identity["firmware"][nvram_name(spec)] if nvram_name(spec) else {}
    return found


def board(spec: dict[str, Any], site: Site) -> dict[str, Any]:
    """What the machine itself is told of its firmware."""
    chosen = image(spec, site)
    return {**({"smm": True} if chosen["smm"] else {}), "pflash0": "firmware", "pflash1": "nvram"} if chosen else {}


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    chosen = image(spec, site)
    if not chosen:
        return
    if chosen["smm"]:  # only System Management Mode may write: the guest's kernel cannot turn Secure Boot off
        yield Part("global", {"driver": "cfi.pflash01", "property": "secure", "value": True})
    nvram = f"{site.directory}/{nvram_name(spec)}"
    for node, form, file in (("firmware", "code_format", chosen["code"]), ("nvram", "template_format", nvram)):
        readonly = node == "firmware"
        yield Part("blockdev", {"node-name": node, "driver": chosen[form], "read-only": readonly, "file": {"driver": "file", "filename": file}})
