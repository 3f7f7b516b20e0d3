# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest's memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .option import Option
from .part import Part
from .site import Site

_MIB = 1 << 20

OPTIONS = (Option("memory", "size", "512MiB", minimum=_MIB),)


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    if spec["memory"] % _MIB:
        yield SpecError("memory", f"{spec['memory']} bytes are no whole number of MiB", hint="Use MiB or GiB")


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    yield Part("m", {"size": f"{spec['memory'] // _MIB}M"})
