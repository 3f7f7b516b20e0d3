# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A watchdog: what happens when the guest does not reset its timer in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .live import Tell
from .option import LIVE, Option
from .part import Part
from .site import Site

_X86 = ("x86_64", "i386")
# Where a model is at home; i6300esb is a PCI device and goes anywhere else.
_HOMES = {"ib700": _X86, "itco": _X86, "diag288": ("s390x",)}


def _live(change: Any, site: Site) -> list[Any]:
    return [Tell([{"execute": "watchdog-set-action", "arguments": {"action": change.after}}])]


OPTIONS = (
    Option(
        "watchdog",
        "map",
        options=(
            Option("model", "str", "none", choices=("none", "i6300esb", "ib700", "itco", "diag288")),
            Option(
                "action",
                "str",
                "reset",
                choices=("reset", "shutdown", "poweroff", "inject-nmi", "pause", "debug", "none"),
                change=LIVE,
                live=_live,
            ),
        ),
    ),
)


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    model = spec["watchdog"]["model"]
    if spec["arch"] not in _HOMES.get(model, (spec["arch"],)):
        yield SpecError("watchdog.model", f"{model!r} is for {' and '.join(_HOMES[model])}, and the machine is {spec['arch']}", hint="Use i6300esb")
    if model == "itco" and "q35" not in spec["machine"]:
        yield SpecError("watchdog.model", "'itco' is a part of the board q35", hint="Use machine: q35, or model: i6300esb")


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    model = spec["watchdog"]["model"]
    if model == "itco":
        # The board has it always; up to pc-q35-7.2 a strap keeps it from doing anything.
        yield Part("global", {"driver": "ICH9-LPC", "property": "noreboot", "value": False})
    elif model != "none":
        yield Part("device", {"driver": model, "id": "watchdog"})
    if model != "none":
        yield Part("action", {"watchdog": spec["watchdog"]["action"]})
