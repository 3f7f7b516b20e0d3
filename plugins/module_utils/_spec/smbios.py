# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the firmware tells the guest of its hardware: SMBIOS, type 1 (system)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .option import Option
from .part import Part
from .site import Site

_WORDS = ("manufacturer", "product", "version", "serial", "sku", "family")

OPTIONS = (Option("smbios", "map", options=tuple(Option(word, pattern="^[ -~]{1,64}$", expects="1 to 64 characters of ASCII") for word in _WORDS)),)


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    words = {word: text for word, text in spec["smbios"].items() if text}
    if words:
        yield Part("smbios", {"type": 1, **words})
