# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Randomness for the guest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .option import Option
from .part import Part
from .site import Site

OPTIONS = (Option("rng", "bool", True, device="rng-device"),)


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    if spec["rng"]:
        yield Part("object", {"qom-type": "rng-builtin", "id": "rng"})
        yield Part("device", {"driver": "virtio-rng-pci", "id": "rng-device", "rng": "rng"})
