# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .option import Option
from .part import Part
from .site import Site

OPTIONS = (
    Option("cpus", "int", 1, minimum=1, maximum=1024, expects="a number of virtual CPUs from 1 to 1024"),
    Option("cpu_model", pattern="^[A-Za-z0-9_.,=+-]+$", expects="a CPU model of QEMU, such as host, max or EPYC-v4"),
)


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    yield Part("smp", {"cpus": spec["cpus"]})
    model = spec["cpu_model"] or ("host" if site.accel == "kvm" else "max")
    yield Part("cpu", model)
