# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes as people write them: ``512MiB``, ``2G``, ``10GiB``. Units are powers of 1024, as in QEMU."""

from __future__ import annotations

import re

UNITS = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
PATTERN = r"^[0-9]+(\.[0-9]+)?(B|[KMGT](iB)?)$"
EXPECTS = "a number and its unit (B, K, M, G, T, KiB, MiB, GiB, TiB), such as 512MiB or 2G"


def parse_size(text: str) -> int:
    """Bytes of a size that matches :data:`PATTERN`."""
    number, unit = re.findall(r"^([0-9.]+)([BKMGT])", text)[0]
    whole, _dot, part = number.partition(".")
    count: int = int(whole + part) * UNITS[unit] // 10 ** len(part)
    return count


def format_size(count: int) -> str:
    """The shortest exact way to write ``count`` bytes (``536870912`` → ``512MiB``)."""
    for unit in "TGMK":
        if count and count % UNITS[unit] == 0:
            return f"{count // UNITS[unit]}{unit}iB"
    return f"{count}B"
