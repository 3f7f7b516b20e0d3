# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who the machine is: name, labels, protection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .option import LIVE, Option
from .part import Part
from .site import Site

OPTIONS = (
    Option("labels", "dict", change=LIVE),
    Option("protect", "bool", False, change=LIVE),
)


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    yield Part("name", {"guest": site.name, "debug-threads": True})
    yield Part("uuid", site.identity["uuid"])
